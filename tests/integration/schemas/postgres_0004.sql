BEGIN;

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE conversations (
    id TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    ended_at BIGINT,
    released_at BIGINT,
    gone BOOLEAN NOT NULL,
    mismatch BOOLEAN NOT NULL,
    duty_id BIGINT,
    duty_since BIGINT,
    run_id BIGINT,
    look_at BIGINT,
    due_at BIGINT,
    epoch BIGINT NOT NULL,
    lease_owner TEXT COLLATE "C",
    lease_until BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT conversations_safe CHECK (gone OR (holder <> 'bot' AND (ended_at IS NULL OR released_at IS NOT NULL)) OR look_at IS NOT NULL),
    CONSTRAINT conversations_due_in_time CHECK (look_at IS NULL OR (due_at IS NOT NULL AND due_at <= look_at)),
    CONSTRAINT conversations_holder_known CHECK (holder IN ('bot', 'other', 'nobody', 'unknown')),
    CONSTRAINT conversations_lease_whole CHECK ((lease_owner IS NULL) = (lease_until IS NULL))
);

CREATE INDEX conversations_due ON conversations (due_at) WHERE due_at IS NOT NULL AND lease_until IS NULL;

CREATE INDEX conversations_leased ON conversations (lease_until) WHERE lease_until IS NOT NULL;

CREATE INDEX conversations_held ON conversations (holder) WHERE holder = 'bot';

CREATE INDEX conversations_owed ON conversations (duty_since) WHERE duty_since IS NOT NULL;

CREATE INDEX conversations_open ON conversations (ended_at) WHERE ended_at IS NOT NULL AND released_at IS NULL;

CREATE TABLE inbox (
    seq BIGSERIAL NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C",
    type TEXT COLLATE "C" NOT NULL,
    received_at BIGINT NOT NULL,
    status TEXT COLLATE "C" DEFAULT 'pending' NOT NULL,
    handled_at BIGINT,
    reason TEXT COLLATE "C",
    body BYTEA NOT NULL,
    PRIMARY KEY (seq),
    CONSTRAINT inbox_status_known CHECK (status IN ('pending', 'handled', 'set_aside')),
    UNIQUE (id)
);

CREATE INDEX inbox_of_conversation ON inbox (conversation_id, seq);

CREATE INDEX inbox_pending ON inbox (seq) WHERE status = 'pending' AND conversation_id IS NOT NULL;

CREATE INDEX inbox_pending_of_conversation ON inbox (conversation_id, seq) WHERE status = 'pending';

CREATE INDEX inbox_set_aside ON inbox (seq) WHERE status = 'set_aside';

CREATE TABLE outbox (
    seq BIGSERIAL NOT NULL,
    effect_id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    next_attempt BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    maybe_done BOOLEAN NOT NULL,
    status TEXT COLLATE "C" DEFAULT 'open' NOT NULL,
    finished_at BIGINT,
    outcome TEXT COLLATE "C",
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (seq),
    CONSTRAINT outbox_status_known CHECK (status IN ('open', 'finished')),
    UNIQUE (effect_id)
);

CREATE INDEX outbox_of_conversation ON outbox (conversation_id, seq);

CREATE INDEX outbox_open ON outbox (conversation_id, seq) WHERE status = 'open';

CREATE TABLE journal (
    conversation_id TEXT COLLATE "C" NOT NULL,
    run_id BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    data TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (conversation_id, run_id, idx)
);

CREATE TABLE duties (
    conversation_id TEXT COLLATE "C" NOT NULL,
    duty_id BIGINT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    since BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt BIGINT NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    last_answer TEXT COLLATE "C",
    closed_at BIGINT,
    proof TEXT COLLATE "C",
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (conversation_id, duty_id)
);

CREATE INDEX duties_open ON duties (since) WHERE closed_at IS NULL;

CREATE TABLE participants (
    conversation_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
);

CREATE INDEX participants_user ON participants (user_id);

CREATE TABLE removed (
    conversation_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (conversation_id)
);

CREATE TABLE removed_users (
    user_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (user_id)
);

ALTER TABLE conversations SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

ALTER TABLE inbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

ALTER TABLE journal SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

INSERT INTO alembic_version (version_num) VALUES ('0001') RETURNING alembic_version.version_num;

-- Running upgrade 0001 -> 0002

ALTER TABLE conversations ADD COLUMN held_since BIGINT;

ALTER TABLE conversations ADD COLUMN failed_at BIGINT;

UPDATE conversations SET held_since = updated_at WHERE holder = 'bot';

DROP INDEX conversations_held;

DROP INDEX conversations_owed;

DROP INDEX conversations_open;

CREATE INDEX conversations_all ON conversations (created_at, id);

CREATE INDEX conversations_held ON conversations (held_since, id) WHERE held_since IS NOT NULL;

CREATE INDEX conversations_owed ON conversations (duty_since, id) WHERE duty_since IS NOT NULL;

CREATE INDEX conversations_open ON conversations (ended_at, id) WHERE ended_at IS NOT NULL AND released_at IS NULL;

CREATE INDEX conversations_ended ON conversations (ended_at, id) WHERE ended_at IS NOT NULL;

CREATE INDEX conversations_failed ON conversations (failed_at, id) WHERE failed_at IS NOT NULL;

ALTER TABLE inbox ADD COLUMN by_operator BOOLEAN DEFAULT false NOT NULL;

CREATE TABLE history (
    conversation_id TEXT COLLATE "C" NOT NULL,
    n BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    who TEXT,
    since BIGINT,
    text TEXT NOT NULL,
    PRIMARY KEY (conversation_id, n)
);

CREATE TABLE audit (
    seq BIGSERIAL NOT NULL,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    conversation_id TEXT COLLATE "C",
    detail TEXT NOT NULL,
    PRIMARY KEY (seq)
);

CREATE INDEX audit_of_conversation ON audit (conversation_id, seq);

UPDATE alembic_version SET version_num='0002' WHERE alembic_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

ALTER TABLE conversations ADD COLUMN kept_since BIGINT DEFAULT '0' NOT NULL;

CREATE INDEX conversations_kept ON conversations (kept_since);

CREATE INDEX removed_at ON removed (at);

CREATE INDEX removed_users_at ON removed_users (at);

UPDATE alembic_version SET version_num='0003' WHERE alembic_version.version_num = '0002';

-- Running upgrade 0003 -> 0004

ALTER TABLE conversations ADD COLUMN mismatch_at BIGINT;

UPDATE conversations SET mismatch_at = updated_at WHERE mismatch;

CREATE INDEX conversations_mismatch ON conversations (mismatch_at, id) WHERE mismatch_at IS NOT NULL;

UPDATE alembic_version SET version_num='0004' WHERE alembic_version.version_num = '0003';

COMMIT;


INSERT INTO conversations (id, holder, ended_at, released_at, gone, mismatch, duty_id, duty_since, run_id, look_at, due_at, epoch, lease_owner, lease_until, created_at, updated_at, state, held_since, failed_at, kept_since, mismatch_at) VALUES
    ('c1', 'bot', NULL, NULL, false, false, 4, 1795348800123456, 1, 1795348800123456, 1795348800123456, 1, 'w1', 1795348830123456, 1795348800123456, 1795348800123456, '{"id":"c1","holder":{"who":"bot","integration":null,"since":null,"certain":false,"how":""},"run":{"id":1,"purpose":"opening","opening":{"kind":"message","event_id":null,"reason":null},"began":"2026-11-22T12:00:00.123456Z","status":"waiting","since":"2026-11-22T12:00:00.123456Z","deadline":"2026-11-22T12:01:00.123456Z","wants_input":true,"until":null,"contact":true},"inputs":[],"ended":null,"duty":{"id":4,"action":"pass","reason":"flow complete","since":"2026-11-22T12:00:00.123456Z","next_attempt":"2026-11-22T12:00:00.123456Z","stage":"act","key":"integration","target":"t","metadata":{},"attempts":0,"failures":0,"refusals":0,"accepted_at":null,"last_answer":null,"overdue_reports":0,"against":null},"pending":null,"idle_at":"2026-11-22T12:01:00.123456Z","watch_at":null,"watches":0,"read_at":null,"spoke_at":null,"in_doubt":false,"closing_run":null,"mismatch_reported":false,"no_app_key_reported":false,"gone":false,"serial":0}', 1795348800123456, NULL, 1795348800123456, NULL),
    ('c2', 'unknown', NULL, NULL, false, false, NULL, NULL, NULL, NULL, NULL, 2, NULL, NULL, 1795348800123456, 1795348800123456, '{"id":"c2","holder":{"who":"unknown","integration":null,"since":null,"certain":false,"how":""},"run":null,"inputs":[],"ended":null,"duty":null,"pending":null,"idle_at":null,"watch_at":null,"watches":0,"read_at":null,"spoke_at":null,"in_doubt":false,"closing_run":null,"mismatch_reported":false,"no_app_key_reported":false,"gone":false,"serial":0}', NULL, 1795348800123456, 1795348800123456, NULL);

INSERT INTO inbox (seq, id, conversation_id, type, received_at, status, handled_at, reason, body, by_operator) VALUES
    (1, 'e1', 'c1', 'conversation:message', 1795348800123456, 'handled', 1795348800123456, NULL, '\x7b2273616964223a202268656c6c6f227d', false),
    (2, 'e2', 'c2', 'conversation:message', 1795348800123456, 'set_aside', NULL, 'no type', '\x7b2273616964223a20227365636f6e64227d', false),
    (3, 'e3', NULL, 'client:add', 1795348800123456, 'set_aside', NULL, 'unknown', '\x7b226f6464223a20317d', false);

INSERT INTO outbox (seq, effect_id, conversation_id, kind, created_at, next_attempt, attempts, maybe_done, status, finished_at, outcome, body) VALUES
    (1, 's1', 'c1', 'say', 1795348800123456, 1795348800123456, 0, true, 'open', NULL, NULL, '{"effect_id":"s1","run_id":1,"content":{"type":"text","text":"Hi"},"metadata":{}}'),
    (2, 'k1', 'c1', 'clean_up', 1795348800123456, 1795348800123456, 0, true, 'open', NULL, NULL, '{"effect_id":"k1","run_id":1,"function":"shop:cancel","args":["r"],"kwargs":{},"attempts":1,"timeout":30.0}');

INSERT INTO journal (conversation_id, run_id, idx, kind, key, data) VALUES
    ('c1', 1, 0, 'began', 'feedback', '{"began":{}}'),
    ('c1', 1, 1, 'say', '', 'null');

INSERT INTO duties (conversation_id, duty_id, action, target, reason, since, attempts, next_attempt, stage, last_answer, closed_at, proof, body) VALUES
    ('c1', 4, 'pass', 't', 'flow complete', 1795348800123456, 0, 1795348800123456, 'act', NULL, NULL, NULL, '{"id":4,"action":"pass","reason":"flow complete","since":"2026-11-22T12:00:00.123456Z","next_attempt":"2026-11-22T12:00:00.123456Z","stage":"act","key":"integration","target":"t","metadata":{},"attempts":0,"failures":0,"refusals":0,"accepted_at":null,"last_answer":null,"overdue_reports":0,"against":null}');

INSERT INTO participants (conversation_id, user_id) VALUES
    ('c1', 'u1'),
    ('c2', 'u2');

INSERT INTO removed_users (user_id, at) VALUES
    ('gone-user', 1795348800123456);

INSERT INTO history (conversation_id, n, at, kind, who, since, text) VALUES
    ('c1', 1, 1795348800123456, 'report', NULL, NULL, 'told');

INSERT INTO audit (seq, at, who, action, conversation_id, detail) VALUES
    (1, 1795348800123456, 'operator', 'release', 'c1', 'by hand');

SELECT setval('inbox_seq_seq', (SELECT max(seq) FROM inbox));

SELECT setval('outbox_seq_seq', (SELECT max(seq) FROM outbox));

SELECT setval('audit_seq_seq', (SELECT max(seq) FROM audit));
