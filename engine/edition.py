"""Which edition this is: of the engine in every event, and of the package, which takes its version from here."""

ENGINE_VERSION = "0.3.0"
