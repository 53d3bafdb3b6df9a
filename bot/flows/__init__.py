"""The authoring API, the journal, and the built-in sample flows."""
