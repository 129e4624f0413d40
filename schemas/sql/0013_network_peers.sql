-- When the hosts of a network were last told of their peers: a network on many hosts is told of many changes at once.
ALTER TABLE network.network ADD COLUMN peers_told_at timestamptz;
CREATE INDEX network_untold ON network.network (id) WHERE peers_told < peers_version;
