-- How often identity has changed, over several rows so that changes do not queue for one. What a gateway has read for
-- logins is true as long as their sum stands still.
CREATE TABLE identity.change_count (
    shard smallint PRIMARY KEY,
    count bigint   NOT NULL
);
INSERT INTO identity.change_count (shard, count) SELECT shard, 0 FROM generate_series(0, 15) AS shard;
