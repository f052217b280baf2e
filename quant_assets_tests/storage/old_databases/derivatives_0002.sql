PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE call_leases (
	lease TEXT NOT NULL, 
	calls INTEGER NOT NULL, 
	counts_until_ms INTEGER NOT NULL, 
	PRIMARY KEY (lease)
);
CREATE TABLE call_throttle (
	id INTEGER NOT NULL, 
	paused_until_ms INTEGER NOT NULL, 
	share REAL NOT NULL, 
	since_ms INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE claims (
	dataset TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	until_ms INTEGER NOT NULL, 
	PRIMARY KEY (dataset, symbol)
)
 WITHOUT ROWID

;
INSERT INTO "claims" VALUES('funding_rate','BTCUSDT_PERP.A','85707aa465d040ff80a568640471ef56',7275000);
CREATE TABLE empty_responses (
	dataset TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	last_ms INTEGER NOT NULL, 
	previous_ms INTEGER, 
	PRIMARY KEY (dataset, symbol)
)
 WITHOUT ROWID

;
INSERT INTO "empty_responses" VALUES('funding_rate','XRPUSD_PERP.0',1768842900000,NULL);
INSERT INTO "empty_responses" VALUES('liquidations','XRPUSD_PERP.0',1768842900000,NULL);
INSERT INTO "empty_responses" VALUES('long_short_ratio','XRPUSD_PERP.0',1768842900000,NULL);
INSERT INTO "empty_responses" VALUES('open_interest','XRPUSD_PERP.0',1768842900000,NULL);
CREATE TABLE fetched_ranges (
	dataset TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	start INTEGER NOT NULL, 
	through INTEGER NOT NULL, 
	PRIMARY KEY (dataset, symbol, start)
)
 WITHOUT ROWID

;
INSERT INTO "fetched_ranges" VALUES('funding_rate','BTCUSDT_PERP.A',1768839300,1768842900);
INSERT INTO "fetched_ranges" VALUES('funding_rate','XRPUSD_PERP.0',1768839300,1768842900);
INSERT INTO "fetched_ranges" VALUES('liquidations','BTCUSDT_PERP.A',1768839300,1768842900);
INSERT INTO "fetched_ranges" VALUES('liquidations','XRPUSD_PERP.0',1768839300,1768842900);
INSERT INTO "fetched_ranges" VALUES('long_short_ratio','BTCUSDT_PERP.A',1768839300,1768842900);
INSERT INTO "fetched_ranges" VALUES('long_short_ratio','XRPUSD_PERP.0',1768839300,1768842900);
INSERT INTO "fetched_ranges" VALUES('open_interest','BTCUSDT_PERP.A',1768839300,1768842900);
INSERT INTO "fetched_ranges" VALUES('open_interest','XRPUSD_PERP.0',1768839300,1768842900);
CREATE TABLE funding_rate (
	symbol TEXT NOT NULL, 
	t INTEGER NOT NULL, 
	open REAL NOT NULL, 
	high REAL NOT NULL, 
	low REAL NOT NULL, 
	close REAL NOT NULL, 
	PRIMARY KEY (symbol, t)
)
 WITHOUT ROWID

;
INSERT INTO "funding_rate" VALUES('BTCUSDT_PERP.A',1768839300,4.0,5.0,6.0,7.0);
INSERT INTO "funding_rate" VALUES('BTCUSDT_PERP.A',1768840200,3.0,4.0,5.0,6.0);
INSERT INTO "funding_rate" VALUES('BTCUSDT_PERP.A',1768841100,2.0,3.0,4.0,5.0);
INSERT INTO "funding_rate" VALUES('BTCUSDT_PERP.A',1768842000,1.0,2.0,3.0,4.0);
CREATE TABLE liquidations (
	symbol TEXT NOT NULL, 
	t INTEGER NOT NULL, 
	longs REAL NOT NULL, 
	shorts REAL NOT NULL, 
	PRIMARY KEY (symbol, t)
)
 WITHOUT ROWID

;
INSERT INTO "liquidations" VALUES('BTCUSDT_PERP.A',1768839300,4.0,5.0);
INSERT INTO "liquidations" VALUES('BTCUSDT_PERP.A',1768840200,3.0,4.0);
INSERT INTO "liquidations" VALUES('BTCUSDT_PERP.A',1768841100,2.0,3.0);
INSERT INTO "liquidations" VALUES('BTCUSDT_PERP.A',1768842000,1.0,2.0);
CREATE TABLE long_short_ratio (
	symbol TEXT NOT NULL, 
	t INTEGER NOT NULL, 
	ratio REAL NOT NULL, 
	longs_pct REAL NOT NULL, 
	shorts_pct REAL NOT NULL, 
	PRIMARY KEY (symbol, t)
)
 WITHOUT ROWID

;
INSERT INTO "long_short_ratio" VALUES('BTCUSDT_PERP.A',1768839300,4.0,5.0,6.0);
INSERT INTO "long_short_ratio" VALUES('BTCUSDT_PERP.A',1768840200,3.0,4.0,5.0);
INSERT INTO "long_short_ratio" VALUES('BTCUSDT_PERP.A',1768841100,2.0,3.0,4.0);
INSERT INTO "long_short_ratio" VALUES('BTCUSDT_PERP.A',1768842000,1.0,2.0,3.0);
CREATE TABLE metadata (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "metadata" VALUES('simulated','1');
CREATE TABLE open_interest (
	symbol TEXT NOT NULL, 
	t INTEGER NOT NULL, 
	open REAL NOT NULL, 
	high REAL NOT NULL, 
	low REAL NOT NULL, 
	close REAL NOT NULL, 
	PRIMARY KEY (symbol, t)
)
 WITHOUT ROWID

;
INSERT INTO "open_interest" VALUES('BTCUSDT_PERP.A',1768839300,4.0,5.0,6.0,7.0);
INSERT INTO "open_interest" VALUES('BTCUSDT_PERP.A',1768840200,3.0,4.0,5.0,6.0);
INSERT INTO "open_interest" VALUES('BTCUSDT_PERP.A',1768841100,2.0,3.0,4.0,5.0);
INSERT INTO "open_interest" VALUES('BTCUSDT_PERP.A',1768842000,1.0,2.0,3.0,4.0);
CREATE TABLE quant_assets_version (
	version_num VARCHAR(32) NOT NULL, 
	PRIMARY KEY (version_num)
);
INSERT INTO "quant_assets_version" VALUES('0002');
CREATE TABLE refresh_reports (
	window TEXT NOT NULL, 
	report TEXT NOT NULL, 
	PRIMARY KEY (window)
);
INSERT INTO "refresh_reports" VALUES('2026-01-19-17:00','{"calls": 17}');
CREATE TABLE served_symbols (
	dataset TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	PRIMARY KEY (dataset, symbol)
)
 WITHOUT ROWID

;
INSERT INTO "served_symbols" VALUES('funding_rate','BTCUSDT_PERP.A');
INSERT INTO "served_symbols" VALUES('liquidations','BTCUSDT_PERP.A');
INSERT INTO "served_symbols" VALUES('long_short_ratio','BTCUSDT_PERP.A');
INSERT INTO "served_symbols" VALUES('open_interest','BTCUSDT_PERP.A');
COMMIT;
