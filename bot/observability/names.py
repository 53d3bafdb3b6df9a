"""The stable event names of log lines, which are also labels of `switchboard_signals_total`.

A line about one conversation has a `conversation_id`. The table lists the other fields; none
contains users' words.
"""

from __future__ import annotations

EVENTS = {
    # a process
    "started": "the process is up: `web`, `worker`, `port`, `console`",
    "stopping": "the process received a stop signal",
    "not_ready": "`/readyz` now answers 503: `reason`",
    "ready_again": "`/readyz` answers 200 again",
    "store_unavailable": "a database access failed (debug; see `trouble_began`): `error`",
    "trouble_began": "a new kind of failure: `what`, `where`, `problem`, `status`, `todo`",
    "trouble_lasts": "still failing after 1, 4, 16, … minutes: as above, with `seconds`, `times`",
    "trouble_over": "working again: `what`, `where`, after `seconds` and `times` failures",
    "setting_unknown": "a misspelt setting in the environment or in `.env`: `problem`",
    "database_options_ignored": "unsupported options in DATABASE_URL: `options`, their names",
    "waiting_for_lock": "another program locks a file: `file`, `processes`; the bot waits for it",
    "readable_by_others": "other users can read the database; its owner must change that: `file`",
    "worker_failed": "a bug in the worker: `error`; it continues",
    "task_failed": "a background task failed: `problem`, `error`, `place`; `times` (1, 2, 4, …)",
    "connections_full": "no room; closed the longest idle connection: `times` (1, 2, 4, …)",
    "not_listening": "no notifications from PostgreSQL: `error`; the worker polls, and retries",
    "left_by_dead_worker": "leases of a dead worker were cut short: `conversations`",
    "reconciling": "reads after a pause without webhooks: `conversations`, `pause_seconds`",
    "purged": "retention deleted old data: `looked_at`, `before`",
    "purge_failed": "retention failed: `error`; it retries in an hour",
    # deliveries
    "delivery_misaddressed": "503: valid key, wrong path: `path`; after 1, 4, … minutes, `times`",
    "delivery_not_stored": "answered 503, to come again: `events`, `times`, `reason` (bugs: `error`, `place`)",
    "foreign_delivery": "refused (403): another app, or a wrong SUNSHINE_APP_ID: `detail`",
    "workers_not_woken": "a bug: events were stored, but no worker was told; it looks for itself: `error`, `place`",
    "event_set_aside": "an event could not be understood: `reason`",
    "tape_incomplete": "deliveries are not on the tape: `lost`, `tape`, `reason`",
    # a conversation at work
    "session_failed": "a bug met one conversation: `error`; it is taken up again",
    "lease_lost": "another worker has the conversation now",
    "state_salvaged": "a stored state was partly unreadable: `unreadable`; the platform is read",
    "effect_unreadable": "a stored effect was unreadable and is dropped: `effect_id`, `problem`",
    # flows
    "flow_over": "a flow run finished: `flow`, `version`, `run`, `outcome`, `seconds`",
    "flow_raised": "what ended a run: `flow`, `run`, `error`, `calls`, `causes`; `exception` with LOG_ERRORS=full",
    "flow_failed": "a flow raised; the bot gives control up: `detail`, `flow`, `version`",
    "flow_timed_out": "a flow timed out; the bot gives control up: `detail`, `flow`, `version`",
    "flow_mismatched": "a waiting run no longer fits its flow's code, and fails: `detail`",
    "flow_restarted": "the same with FLOW_MISMATCH=restart: the run restarts: `detail`",
    "call_failed": "an attempt of `chat.call` failed the 1st, 2nd, 4th, … time: `function`, `attempt`, `error`",
    "call_over": "a `chat.call` finished (debug): `function`, `outcome`, `attempts`, `seconds`",
    "model_failed": "an assistant's model raised or timed out; the user is handed over: `detail`",
    "survey_answered": "the sample survey was answered: `score`",
    "turn_over": "a turn of a flow finished (debug): `flow`, `version`, `seconds`, `outcome`",
    "ticket_field_shortened": "values of a hand-over exceeded the platform's limits and were cut: `detail` names them",
    "ticket_field_left_out": "a hand-over continued without invalid values: `detail`",
    "message_given_up": "a message was not delivered: `outcome`; `flow`, `version` if running",
    "lifespan_failed": "the flows' `@lifespan` raised on closing: `error`",
    "signal_taken": "another system sent a signal to a flow: `signal`",
    "signal_unheard": "a signal was dropped: no flow was running, or it had too many: `signal`",
    "flow_asked_for": "another system requested a flow: `flow`",
    "flow_not_begun": "a flow requested by another system did not start: `detail` says why",
    "reminder_dropped": "a reminder's flow did not start: `detail` says why",
    "clean_up_failed": "an `on_end` function failed for good: `error`",
    # control
    "effect_tried": "one call for one effect (debug): `effect`, `outcome`",
    "delivery_failed": "a bug while delivering an effect: `effect`, `error`",
    "duty_closed": "a control action is done or void: `action`, `attempts`, `proof`, `seconds`",
    "duty_overdue": "a control action has been due for 1, 4, 16, … minutes: `detail`",
    "ended_proven": "an ended conversation is proven released: `seconds` since the end, `proof`",
    "pass_refused": "a pass was declined; next: PASS_TO, else a release: `detail`",
    "release_by_hand_failed": "an operator's release failed: `detail`",
    "no_app_key": "only an app key could release what others hold after an end: `detail`",
    "handed_around": "control came back without a message from the user, and was released: who passes to whom?",
    "mode_mismatch": "the platform acts as in the other control mode: check CONTROL_MODE: `detail`",
    "conversation_gone": "the platform no longer knows the conversation: `detail`",
    # operators
    "console_sign_in": "an operator signed in to the console: `address`",
    "console_sign_in_refused": "the 1st, 2nd, 4th, 8th, … recent wrong token: `address`, `tries`",
    "console_failed": "a bug in a page of the console: `error`",
    "release_by_hand": "an operator requested a release in the console: `outcome`",
}
"""The meaning of each name, with its fields."""
