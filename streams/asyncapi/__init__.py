"""The contract of the topics as an AsyncAPI document, generated from the message types, with examples that the engine said."""
