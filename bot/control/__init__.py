"""The guarantee: pure rules that decide what the bot owes each conversation.

Once a flow is over or the user has ended the conversation, the bot gives control up, and
proves it. That holds whatever flows, the network or crashes do, because every state that
breaks the invariant `Conversation.is_safe` is rejected.

There is no I/O, clock or randomness here: `rules.step` maps (state, fact, now) to a new
state. Read in this order:

    state.py         what is known and owed, and the invariant
    rules.py         `step`, with a picture of it
    obligations.py   what is owed now, whichever fact came last
    duties.py        each control action, until it is proven
    outbox.py        what goes out, when, and how often it is retried
    starts.py        flows that begin without user input
    modes.py         what differs between the two control modes
"""
