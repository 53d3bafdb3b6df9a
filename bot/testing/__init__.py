"""The testing kit for flows: a pytest plugin with the fixture `chat_with`, on the real engine in virtual time."""
