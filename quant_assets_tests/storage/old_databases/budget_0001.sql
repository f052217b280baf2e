PRAGMA user_version = 0;
BEGIN TRANSACTION;
CREATE TABLE 'calls' (
        name VARCHAR,
        item_timestamp INTEGER
    );
INSERT INTO "calls" VALUES('settled',3601500);
INSERT INTO "calls" VALUES('settled',3601500);
INSERT INTO "calls" VALUES('settled',3601500);
INSERT INTO "calls" VALUES('4711:0f8fad5bd9cb469fa16570867728950e',3604500);
INSERT INTO "calls" VALUES('4711:0f8fad5bd9cb469fa16570867728950e',3604500);
CREATE TABLE easing (share REAL NOT NULL, at_ms INTEGER NOT NULL);
INSERT INTO "easing" VALUES(0.75,3603500);
CREATE TABLE pause (until_ms INTEGER NOT NULL);
INSERT INTO "pause" VALUES(3603500);
CREATE INDEX 'idx_calls_rate_item_timestamp' ON 'calls' (item_timestamp)
    ;
COMMIT;
