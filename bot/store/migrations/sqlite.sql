-- Schema 0010, made from the migrations by `python -m bot.store.migrations.whole`.

CREATE TABLE switchboard_bot_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT switchboard_bot_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE conversations (
	id TEXT NOT NULL,
	holder TEXT NOT NULL,
	ended_at INTEGER,
	released_at INTEGER,
	gone INTEGER NOT NULL,
	mismatch INTEGER NOT NULL,
	duty_id INTEGER,
	duty_since INTEGER,
	run_id INTEGER,
	look_at INTEGER,
	due_at INTEGER,
	epoch INTEGER NOT NULL,
	lease_owner TEXT,
	lease_until INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	state TEXT NOT NULL, held_since INTEGER, failed_at INTEGER, kept_since INTEGER DEFAULT '0' NOT NULL, mismatch_at INTEGER, flow TEXT DEFAULT '' NOT NULL, flow_version INTEGER DEFAULT '0' NOT NULL, unsent INTEGER NOT NULL DEFAULT 0 CONSTRAINT conversations_safe_to_send CHECK (unsent = 0 OR look_at IS NOT NULL),
	PRIMARY KEY (id),
	CONSTRAINT conversations_safe CHECK (gone OR (holder <> 'bot' AND (ended_at IS NULL OR released_at IS NOT NULL)) OR look_at IS NOT NULL),
	CONSTRAINT conversations_due_in_time CHECK (look_at IS NULL OR (due_at IS NOT NULL AND due_at <= look_at)),
	CONSTRAINT conversations_holder_known CHECK (holder IN ('bot', 'other', 'nobody', 'unknown')),
	CONSTRAINT conversations_lease_whole CHECK ((lease_owner IS NULL) = (lease_until IS NULL))
)
 STRICT;

CREATE INDEX conversations_due ON conversations (due_at) WHERE due_at IS NOT NULL AND lease_until IS NULL;

CREATE INDEX conversations_leased ON conversations (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE inbox (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL,
	conversation_id TEXT,
	type TEXT NOT NULL,
	received_at INTEGER NOT NULL,
	status TEXT DEFAULT 'pending' NOT NULL,
	handled_at INTEGER,
	reason TEXT,
	body BLOB NOT NULL, by_operator INTEGER DEFAULT 0 NOT NULL, said_id TEXT,
	CONSTRAINT inbox_status_known CHECK (status IN ('pending', 'handled', 'set_aside')),
	UNIQUE (id)
)
 STRICT;

CREATE INDEX inbox_of_conversation ON inbox (conversation_id, seq);

CREATE INDEX inbox_pending ON inbox (seq) WHERE status = 'pending' AND conversation_id IS NOT NULL;

CREATE INDEX inbox_pending_of_conversation ON inbox (conversation_id, seq) WHERE status = 'pending';

CREATE INDEX inbox_set_aside ON inbox (seq) WHERE status = 'set_aside';

CREATE TABLE outbox (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	effect_id TEXT NOT NULL,
	conversation_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	status TEXT DEFAULT 'open' NOT NULL,
	finished_at INTEGER,
	outcome TEXT,
	body TEXT NOT NULL,
	CONSTRAINT outbox_status_known CHECK (status IN ('open', 'finished')),
	UNIQUE (effect_id)
)
 STRICT;

CREATE INDEX outbox_of_conversation ON outbox (conversation_id, seq);

CREATE INDEX outbox_open ON outbox (conversation_id, seq) WHERE status = 'open';

CREATE TABLE journal (
	conversation_id TEXT NOT NULL,
	run_id INTEGER NOT NULL,
	idx INTEGER NOT NULL,
	kind TEXT NOT NULL,
	"key" TEXT NOT NULL,
	data TEXT NOT NULL, at INTEGER DEFAULT '0' NOT NULL,
	PRIMARY KEY (conversation_id, run_id, idx)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE duties (
	conversation_id TEXT NOT NULL,
	duty_id INTEGER NOT NULL,
	action TEXT NOT NULL,
	target TEXT,
	reason TEXT NOT NULL,
	since INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	next_attempt INTEGER NOT NULL,
	stage TEXT NOT NULL,
	last_answer TEXT,
	closed_at INTEGER,
	proof TEXT,
	body TEXT NOT NULL,
	PRIMARY KEY (conversation_id, duty_id)
)
 WITHOUT ROWID,
 STRICT;

CREATE INDEX duties_open ON duties (since) WHERE closed_at IS NULL;

CREATE TABLE participants (
	conversation_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	PRIMARY KEY (conversation_id, user_id)
)
 WITHOUT ROWID,
 STRICT;

CREATE INDEX participants_user ON participants (user_id);

CREATE TABLE removed (
	conversation_id TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (conversation_id)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE removed_users (
	user_id TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (user_id)
)
 WITHOUT ROWID,
 STRICT;

CREATE INDEX conversations_all ON conversations (created_at, id);

CREATE INDEX conversations_held ON conversations (held_since, id) WHERE held_since IS NOT NULL;

CREATE INDEX conversations_owed ON conversations (duty_since, id) WHERE duty_since IS NOT NULL;

CREATE INDEX conversations_open ON conversations (ended_at, id) WHERE ended_at IS NOT NULL AND released_at IS NULL;

CREATE INDEX conversations_ended ON conversations (ended_at, id) WHERE ended_at IS NOT NULL;

CREATE INDEX conversations_failed ON conversations (failed_at, id) WHERE failed_at IS NOT NULL;

CREATE TABLE history (
	conversation_id TEXT NOT NULL,
	n INTEGER NOT NULL,
	at INTEGER NOT NULL,
	kind TEXT NOT NULL,
	who TEXT,
	since INTEGER,
	text TEXT NOT NULL,
	PRIMARY KEY (conversation_id, n)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE audit (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	at INTEGER NOT NULL,
	who TEXT NOT NULL,
	action TEXT NOT NULL,
	conversation_id TEXT,
	detail TEXT NOT NULL
)
 STRICT;

CREATE INDEX audit_of_conversation ON audit (conversation_id, seq);

CREATE INDEX conversations_kept ON conversations (kept_since);

CREATE INDEX removed_at ON removed (at);

CREATE INDEX removed_users_at ON removed_users (at);

CREATE INDEX conversations_mismatch ON conversations (mismatch_at, id) WHERE mismatch_at IS NOT NULL;

CREATE TABLE ended_sessions (
	id TEXT NOT NULL,
	until INTEGER NOT NULL,
	PRIMARY KEY (id)
)
 WITHOUT ROWID,
 STRICT;

CREATE INDEX inbox_removals ON inbox (seq) WHERE status = 'pending' AND conversation_id IS NULL AND type = 'user:remove';

CREATE UNIQUE INDEX inbox_said ON inbox (conversation_id, said_id) WHERE said_id IS NOT NULL;

CREATE TABLE contacts (
	conversation_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	term TEXT NOT NULL,
	shown TEXT,
	at INTEGER NOT NULL,
	PRIMARY KEY (conversation_id, kind, term)
)
 WITHOUT ROWID,
 STRICT;

CREATE INDEX contacts_term ON contacts (term, conversation_id);

CREATE INDEX conversations_flow ON conversations (flow, flow_version, id) WHERE run_id IS NOT NULL;
