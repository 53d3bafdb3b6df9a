"""The authoring API, the journal, and the flows that come with the bot."""
