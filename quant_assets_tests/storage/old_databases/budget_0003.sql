BEGIN TRANSACTION;
CREATE TABLE call_leases (
	lease TEXT NOT NULL, 
	calls INTEGER NOT NULL, 
	counts_until_ms INTEGER NOT NULL, 
	PRIMARY KEY (lease)
);
INSERT INTO "call_leases" VALUES('67c2dabdba7947a2b2725b172de51b29',17,1060001);
INSERT INTO "call_leases" VALUES('1375b4ffe83d4ac28afc374143d280b4',3,1130000);
CREATE TABLE call_throttle (
	id INTEGER NOT NULL, 
	paused_until_ms INTEGER NOT NULL, 
	share REAL NOT NULL, 
	since_ms INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "call_throttle" VALUES(1,1030000,0.75,1030000);
CREATE TABLE claims (
	dataset TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	until_ms INTEGER NOT NULL, 
	PRIMARY KEY (dataset, symbol)
)
 WITHOUT ROWID

;
CREATE TABLE empty_responses (
	dataset TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	last_ms INTEGER NOT NULL, 
	previous_ms INTEGER, 
	PRIMARY KEY (dataset, symbol)
)
 WITHOUT ROWID

;
CREATE TABLE exchange_snapshots (
	exchange TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	closed_at_ms INTEGER NOT NULL, 
	observed_at_ms INTEGER NOT NULL, 
	open_interest REAL, 
	funding_rate_pct REAL, 
	interval_hours REAL, 
	simulated INTEGER NOT NULL, 
	PRIMARY KEY (exchange, symbol, closed_at_ms)
)
 WITHOUT ROWID

;
CREATE TABLE fetched_ranges (
	dataset TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	start INTEGER NOT NULL, 
	through INTEGER NOT NULL, 
	PRIMARY KEY (dataset, symbol, start)
)
 WITHOUT ROWID

;
CREATE TABLE metadata (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE quant_assets_version (
	version_num VARCHAR(32) NOT NULL, 
	PRIMARY KEY (version_num)
);
INSERT INTO "quant_assets_version" VALUES('0003');
CREATE TABLE refresh_reports (
	window TEXT NOT NULL, 
	report TEXT NOT NULL, 
	PRIMARY KEY (window)
);
CREATE TABLE served_symbols (
	dataset TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	PRIMARY KEY (dataset, symbol)
)
 WITHOUT ROWID

;
PRAGMA user_version = 2;
COMMIT;
