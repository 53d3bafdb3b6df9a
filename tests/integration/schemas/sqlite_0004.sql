BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE audit (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	at INTEGER NOT NULL,
	who TEXT NOT NULL,
	action TEXT NOT NULL,
	conversation_id TEXT,
	detail TEXT NOT NULL
)
 STRICT

;
INSERT INTO "audit" VALUES(1,1795348800123456,'operator','release','c1','by hand');
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
	state TEXT NOT NULL, held_since INTEGER, failed_at INTEGER, kept_since INTEGER DEFAULT '0' NOT NULL, mismatch_at INTEGER,
	PRIMARY KEY (id),
	CONSTRAINT conversations_safe CHECK (gone OR (holder <> 'bot' AND (ended_at IS NULL OR released_at IS NOT NULL)) OR look_at IS NOT NULL),
	CONSTRAINT conversations_due_in_time CHECK (look_at IS NULL OR (due_at IS NOT NULL AND due_at <= look_at)),
	CONSTRAINT conversations_holder_known CHECK (holder IN ('bot', 'other', 'nobody', 'unknown')),
	CONSTRAINT conversations_lease_whole CHECK ((lease_owner IS NULL) = (lease_until IS NULL))
)
 STRICT

;
INSERT INTO "conversations" VALUES('c1','bot',NULL,NULL,0,0,4,1795348800123456,1,1795348800123456,1795348800123456,1,'w1',1795348830123456,1795348800123456,1795348800123456,'{"id":"c1","holder":{"who":"bot","integration":null,"since":null,"certain":false,"how":""},"run":{"id":1,"purpose":"opening","opening":{"kind":"message","event_id":null,"reason":null},"began":"2026-11-22T12:00:00.123456Z","status":"waiting","since":"2026-11-22T12:00:00.123456Z","deadline":"2026-11-22T12:01:00.123456Z","wants_input":true,"until":null,"contact":true},"inputs":[],"ended":null,"duty":{"id":4,"action":"pass","reason":"flow complete","since":"2026-11-22T12:00:00.123456Z","next_attempt":"2026-11-22T12:00:00.123456Z","stage":"act","key":"integration","target":"t","metadata":{},"attempts":0,"failures":0,"refusals":0,"accepted_at":null,"last_answer":null,"overdue_reports":0,"against":null},"pending":null,"idle_at":"2026-11-22T12:01:00.123456Z","watch_at":null,"watches":0,"read_at":null,"spoke_at":null,"in_doubt":false,"closing_run":null,"mismatch_reported":false,"no_app_key_reported":false,"gone":false,"serial":0}',1795348800123456,NULL,1795348800123456,NULL);
INSERT INTO "conversations" VALUES('c2','unknown',NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,2,NULL,NULL,1795348800123456,1795348800123456,'{"id":"c2","holder":{"who":"unknown","integration":null,"since":null,"certain":false,"how":""},"run":null,"inputs":[],"ended":null,"duty":null,"pending":null,"idle_at":null,"watch_at":null,"watches":0,"read_at":null,"spoke_at":null,"in_doubt":false,"closing_run":null,"mismatch_reported":false,"no_app_key_reported":false,"gone":false,"serial":0}',NULL,1795348800123456,1795348800123456,NULL);
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
 STRICT

;
INSERT INTO "duties" VALUES('c1',4,'pass','t','flow complete',1795348800123456,0,1795348800123456,'act',NULL,NULL,NULL,'{"id":4,"action":"pass","reason":"flow complete","since":"2026-11-22T12:00:00.123456Z","next_attempt":"2026-11-22T12:00:00.123456Z","stage":"act","key":"integration","target":"t","metadata":{},"attempts":0,"failures":0,"refusals":0,"accepted_at":null,"last_answer":null,"overdue_reports":0,"against":null}');
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
 STRICT

;
INSERT INTO "history" VALUES('c1',1,1795348800123456,'report',NULL,NULL,'told');
CREATE TABLE inbox (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL,
	conversation_id TEXT,
	type TEXT NOT NULL,
	received_at INTEGER NOT NULL,
	status TEXT DEFAULT 'pending' NOT NULL,
	handled_at INTEGER,
	reason TEXT,
	body BLOB NOT NULL, by_operator INTEGER DEFAULT 0 NOT NULL,
	CONSTRAINT inbox_status_known CHECK (status IN ('pending', 'handled', 'set_aside')),
	UNIQUE (id)
)
 STRICT

;
INSERT INTO "inbox" VALUES(1,'e1','c1','conversation:message',1795348800123456,'handled',1795348800123456,NULL,X'7B2273616964223A202268656C6C6F227D',0);
INSERT INTO "inbox" VALUES(2,'e2','c2','conversation:message',1795348800123456,'set_aside',NULL,'no type',X'7B2273616964223A20227365636F6E64227D',0);
INSERT INTO "inbox" VALUES(3,'e3',NULL,'client:add',1795348800123456,'set_aside',NULL,'unknown',X'7B226F6464223A20317D',0);
CREATE TABLE journal (
	conversation_id TEXT NOT NULL,
	run_id INTEGER NOT NULL,
	idx INTEGER NOT NULL,
	kind TEXT NOT NULL,
	"key" TEXT NOT NULL,
	data TEXT NOT NULL,
	PRIMARY KEY (conversation_id, run_id, idx)
)
 WITHOUT ROWID,
 STRICT

;
INSERT INTO "journal" VALUES('c1',1,0,'began','feedback','{"began":{}}');
INSERT INTO "journal" VALUES('c1',1,1,'say','','null');
CREATE TABLE outbox (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	effect_id TEXT NOT NULL,
	conversation_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	next_attempt INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	maybe_done INTEGER NOT NULL,
	status TEXT DEFAULT 'open' NOT NULL,
	finished_at INTEGER,
	outcome TEXT,
	body TEXT NOT NULL,
	CONSTRAINT outbox_status_known CHECK (status IN ('open', 'finished')),
	UNIQUE (effect_id)
)
 STRICT

;
INSERT INTO "outbox" VALUES(1,'s1','c1','say',1795348800123456,1795348800123456,0,1,'open',NULL,NULL,'{"effect_id":"s1","run_id":1,"content":{"type":"text","text":"Hi"},"metadata":{}}');
INSERT INTO "outbox" VALUES(2,'k1','c1','clean_up',1795348800123456,1795348800123456,0,1,'open',NULL,NULL,'{"effect_id":"k1","run_id":1,"function":"shop:cancel","args":["r"],"kwargs":{},"attempts":1,"timeout":30.0}');
CREATE TABLE participants (
	conversation_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	PRIMARY KEY (conversation_id, user_id)
)
 WITHOUT ROWID,
 STRICT

;
INSERT INTO "participants" VALUES('c1','u1');
INSERT INTO "participants" VALUES('c2','u2');
CREATE TABLE removed (
	conversation_id TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (conversation_id)
)
 WITHOUT ROWID,
 STRICT

;
CREATE TABLE removed_users (
	user_id TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (user_id)
)
 WITHOUT ROWID,
 STRICT

;
INSERT INTO "removed_users" VALUES('gone-user',1795348800123456);
CREATE INDEX conversations_due ON conversations (due_at) WHERE due_at IS NOT NULL AND lease_until IS NULL;
CREATE INDEX conversations_leased ON conversations (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX inbox_of_conversation ON inbox (conversation_id, seq);
CREATE INDEX inbox_pending ON inbox (seq) WHERE status = 'pending' AND conversation_id IS NOT NULL;
CREATE INDEX inbox_pending_of_conversation ON inbox (conversation_id, seq) WHERE status = 'pending';
CREATE INDEX inbox_set_aside ON inbox (seq) WHERE status = 'set_aside';
CREATE INDEX outbox_of_conversation ON outbox (conversation_id, seq);
CREATE INDEX outbox_open ON outbox (conversation_id, seq) WHERE status = 'open';
CREATE INDEX duties_open ON duties (since) WHERE closed_at IS NULL;
CREATE INDEX participants_user ON participants (user_id);
CREATE INDEX conversations_all ON conversations (created_at, id);
CREATE INDEX conversations_held ON conversations (held_since, id) WHERE held_since IS NOT NULL;
CREATE INDEX conversations_owed ON conversations (duty_since, id) WHERE duty_since IS NOT NULL;
CREATE INDEX conversations_open ON conversations (ended_at, id) WHERE ended_at IS NOT NULL AND released_at IS NULL;
CREATE INDEX conversations_ended ON conversations (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX conversations_failed ON conversations (failed_at, id) WHERE failed_at IS NOT NULL;
CREATE INDEX audit_of_conversation ON audit (conversation_id, seq);
CREATE INDEX conversations_kept ON conversations (kept_since);
CREATE INDEX removed_at ON removed (at);
CREATE INDEX removed_users_at ON removed_users (at);
CREATE INDEX conversations_mismatch ON conversations (mismatch_at, id) WHERE mismatch_at IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('inbox',3);
INSERT INTO "sqlite_sequence" VALUES('outbox',2);
INSERT INTO "sqlite_sequence" VALUES('audit',1);
COMMIT;
