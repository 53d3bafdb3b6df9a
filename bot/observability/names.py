"""The stable names of log lines: each is the `event` of a line, and a value of `switchboard_signals_total{event}`.

A line about one conversation has its `conversation_id`. What else it has is beside it; never what somebody said.
"""

from __future__ import annotations

EVENTS = {
    # a process
    "started": "it is up: `web`, `worker`, `port`, `console`",
    "stopping": "it was told to stop",
    "not_ready": "`/readyz` answers 503 from now on: `reason`",
    "ready_again": "`/readyz` answers 200 again",
    "store_unavailable": "a try to use the database failed (debug; told once by `trouble_began`): `error`",
    "trouble_began": "something fails for the first time: `what`, `where`, `problem`, `status`, `todo`",
    "trouble_lasts": "it still fails after 1, 4, 16, … minutes: as above, and `seconds`, `times`",
    "trouble_over": "it works again: `what`, `where`, after `seconds` and `times` failures",
    "setting_unknown": "a name in the environment or in `.env` that is nearly a setting's: `problem`",
    "database_options_ignored": "options of DATABASE_URL that mean nothing to the bot: `options`, their names",
    "waiting_for_lock": "another program keeps a file locked: `file`, `processes`; the wait ends by itself",
    "readable_by_others": "the database can be read by other users, and its owner has to change that: `file`",
    "worker_failed": "a bug in the worker: `error`; it goes on",
    "task_failed": "a task that nothing awaits failed: `problem`, `error`, `place`; `times` so far (1, 2, 4, 8, …)",
    "connections_full": "no room for a new connection; the one idle longest was closed: `times` (1, 2, 4, 8, …)",
    "not_listening": "PostgreSQL answers, but wakes this worker no more: `error`; it looks for itself, and tries again",
    "left_by_dead_worker": "leases of a worker that died were cut short: `conversations`",
    "reconciling": "conversations are read again after a pause without webhooks: `conversations`, `pause_seconds`",
    "purged": "retention deleted what is old: `looked_at`, `before`",
    "purge_failed": "retention could not delete: `error`; it tries again in an hour",
    # deliveries
    "delivery_misaddressed": "answered 503: it has our key, and another path: `path`; after 1, 4, … minutes, `times`",
    "delivery_not_stored": "answered 503, to come again: `events`, `times`, `reason` (bugs: `error`, `place`)",
    "foreign_delivery": "refused (403): another app's webhook points here, or SUNSHINE_APP_ID is wrong: `detail`",
    "workers_not_woken": "a bug: events were stored, but no worker was told; it looks for itself: `error`, `place`",
    "event_set_aside": "an event could not be understood: `reason`",
    "tape_incomplete": "deliveries are not on the tape: `lost`, `tape`, `reason`",
    # a conversation at work
    "session_failed": "a bug met one conversation: `error`; it is taken up again",
    "lease_lost": "another worker has the conversation now",
    "state_salvaged": "a stored state could be read in part only: `unreadable`; the platform is read",
    "effect_unreadable": "a stored effect could not be read, and is given up: `effect_id`, `problem`",
    # flows
    "flow_over": "a run of a flow is over: `flow`, `version`, `run`, `outcome`, `seconds` since it began",
    "flow_raised": "what ended a run: `flow`, `run`, `error`, `calls`, `causes`; the `exception` with LOG_ERRORS=full",
    "flow_failed": "a flow raised; control is given up: `detail`, `flow`, `version`",
    "flow_timed_out": "a flow took too long; control is given up: `detail`, `flow`, `version`",
    "flow_mismatched": "a waiting run no longer fits its flow's code, and counts as failed: `detail` says where",
    "flow_restarted": "the same with FLOW_MISMATCH=restart: the run begins anew: `detail`",
    "call_failed": "an attempt of `chat.call` failed the 1st, 2nd, 4th, … time: `function`, `attempt`, `error`",
    "call_over": "a `chat.call` is over (debug): `function`, `outcome`, `attempts`, `seconds`",
    "model_failed": "an assistant's model raised or took too long; the user is handed over: `detail`",
    "survey_answered": "the sample survey was answered: `score`",
    "turn_over": "a turn of a flow is over (debug): `flow`, `version`, `seconds`, `outcome`",
    "ticket_field_shortened": "a hand-over's values were too long for the platform, and were cut: `detail` names them",
    "ticket_field_left_out": "a hand-over went on without values that the platform can't take: `detail` names them",
    "message_given_up": "a message could not be delivered: `outcome`, and `flow`, `version` if it is at work still",
    "lifespan_failed": "the flows' `@lifespan` raised when it closed: `error`",
    "signal_taken": "another system has sent a flow a signal: `signal`",
    "signal_unheard": "a signal came, and no flow was at work any more, or it had too many: `signal`",
    "flow_asked_for": "another system has asked that a flow begins: `flow`",
    "flow_not_begun": "a flow that another system asked for did not begin: `detail` says why",
    "reminder_dropped": "a flow that was to begin as a reminder did not: `detail` says why",
    "clean_up_failed": "an `on_end` function failed for good: `error`",
    # control
    "effect_tried": "one call for one effect (debug): `effect`, `outcome`",
    "delivery_failed": "a bug while an effect was carried out: `effect`, `error`",
    "duty_closed": "a control action is done, or not owed any more: `action`, `attempts`, `proof`, `seconds`",
    "duty_overdue": "a control action is owed for 1, 4, 16, … minutes: `detail`",
    "ended_proven": "an ended conversation is proven released: `seconds` since the end, `proof`",
    "pass_refused": "the platform declined a pass; the bot passes to PASS_TO, or else releases: `detail`",
    "release_by_hand_failed": "what an operator asked for could not be done: `detail`",
    "no_app_key": "only an app key could release what another holds after an end: `detail`",
    "handed_around": "control came back again without a word of the user; it was released: who hands over to whom?",
    "mode_mismatch": "the platform acts as in the other control mode: check CONTROL_MODE: `detail`",
    "conversation_gone": "the platform does not know the conversation any more: `detail`",
    # operators
    "console_sign_in": "somebody signed in to the console: `address`",
    "console_sign_in_refused": "the 1st, 2nd, 4th, 8th, … wrong token of late: `address`, `tries`",
    "console_failed": "a bug in a page of the console: `error`",
    "release_by_hand": "an operator asked for a release in the console: `outcome`",
}
"""What each name means."""
