"""`unimargin mcp`: the desk's questions as tools of a language model."""
