-- Networks: what tenants own (networks, subnets, ports, groups), what the hosts say, and where a network is present.
CREATE SCHEMA network;

CREATE TABLE network.network (
    id                    uuid        PRIMARY KEY,
    project_id            text        NOT NULL,
    name                  text        NOT NULL,
    description           text        NOT NULL,
    admin_state_up        boolean     NOT NULL,
    shared                boolean     NOT NULL,
    external              boolean     NOT NULL,
    is_default            boolean     NOT NULL,
    kind                  text        NOT NULL CHECK (kind IN ('vxlan', 'flat')),
    vni                   integer     CHECK (vni BETWEEN 1 AND 16777215),
    physical_network      text,
    mtu                   integer     NOT NULL,
    port_security_enabled boolean     NOT NULL,
    -- Grows with each change of the set of hosts that the network is present on; hosts ignore an older picture.
    peers_version         integer     NOT NULL DEFAULT 0,
    -- The newest version that the hosts have been sent.
    peers_told            integer     NOT NULL DEFAULT 0,
    revision              integer     NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    -- A tunnel network has a number and no wire; a flat one the other way round.
    CHECK ((kind = 'vxlan') = (vni IS NOT NULL) AND (kind = 'flat') = (physical_network IS NOT NULL))
);
-- A VNI is one network's alone, and a wire carries one untagged network.
CREATE UNIQUE INDEX network_vni ON network.network (vni);
CREATE UNIQUE INDEX network_wire ON network.network (physical_network);
CREATE INDEX network_of_project ON network.network (project_id);
CREATE INDEX network_for_all ON network.network (id) WHERE shared OR external;

CREATE TABLE network.subnet (
    id              uuid        PRIMARY KEY,
    network_id      uuid        NOT NULL REFERENCES network.network,
    project_id      text        NOT NULL,
    name            text        NOT NULL,
    description     text        NOT NULL,
    cidr            cidr        NOT NULL,
    gateway_ip      inet,
    enable_dhcp     boolean     NOT NULL,
    -- [[first, last], ...]: where addresses are taken from when nobody asks for one.
    pools           jsonb       NOT NULL,
    dns_nameservers text[]      NOT NULL,
    -- [[destination, next hop], ...]
    host_routes     jsonb       NOT NULL,
    revision        integer     NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX subnet_of_network ON network.subnet (network_id);
CREATE INDEX subnet_of_project ON network.subnet (project_id);

CREATE TABLE network.port (
    id                    uuid        PRIMARY KEY,
    network_id            uuid        NOT NULL REFERENCES network.network,
    project_id            text        NOT NULL,
    name                  text        NOT NULL,
    description           text        NOT NULL,
    admin_state_up        boolean     NOT NULL,
    mac                   macaddr     NOT NULL,
    -- What the API shows and, while no server has the port, what users write.
    device_id             text        NOT NULL,
    device_owner          text        NOT NULL,
    -- The server that has the port. Only the compute service's calls write it: `device_id` is a user's word.
    server_id             uuid,
    -- The port was made for its server and goes with it.
    owned_by_server       boolean     NOT NULL DEFAULT false CHECK (NOT owned_by_server OR server_id IS NOT NULL),
    hostname              text        NOT NULL,
    -- Order of the network cards in their server.
    card                  integer     NOT NULL DEFAULT 0,
    status                text        NOT NULL CHECK (status IN ('DOWN', 'ACTIVE', 'ERROR')),
    -- The host that the port is bound to; empty while unbound.
    host                  text        NOT NULL,
    port_security_enabled boolean     NOT NULL,
    security_groups       uuid[]      NOT NULL,
    revision              integer     NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL
);
-- Two cards on one wire never have the same MAC.
CREATE UNIQUE INDEX port_mac ON network.port (network_id, mac);
-- A network has one DHCP port.
CREATE UNIQUE INDEX port_dhcp ON network.port (network_id) WHERE device_owner = 'network:dhcp';
CREATE INDEX port_of_project ON network.port (project_id);
CREATE INDEX port_of_server ON network.port (server_id) WHERE server_id IS NOT NULL;
CREATE INDEX port_of_device ON network.port (device_id) WHERE device_id <> '';
CREATE INDEX port_on_host ON network.port (network_id, host) WHERE host <> '';

-- Every address that a port holds. The primary key is what makes handing them out safe: one address, one port.
CREATE TABLE network.address (
    subnet_id uuid NOT NULL REFERENCES network.subnet,
    ip        inet NOT NULL,
    port_id   uuid NOT NULL REFERENCES network.port ON DELETE CASCADE,
    PRIMARY KEY (subnet_id, ip)
);
CREATE INDEX address_of_port ON network.address (port_id);
CREATE INDEX address_by_ip ON network.address (ip);

-- Where a network has bound ports: one row for each host, so that peers are known without counting ports.
CREATE TABLE network.presence (
    network_id uuid NOT NULL REFERENCES network.network ON DELETE CASCADE,
    host       text NOT NULL,
    PRIMARY KEY (network_id, host)
);

-- Underlay addresses, as the compute agents report them.
CREATE TABLE network.host (
    host     text        PRIMARY KEY,
    address  text        NOT NULL,
    heard_at timestamptz NOT NULL
);

CREATE TABLE network.agent (
    id             uuid        PRIMARY KEY,
    host           text        NOT NULL UNIQUE,
    description    text,
    admin_state_up boolean     NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL,
    started_at     timestamptz NOT NULL,
    heard_at       timestamptz NOT NULL,
    -- When the last report was taken, by the host's own clock: an older one that comes late changes nothing.
    taken_at       timestamptz NOT NULL,
    -- [[port id, network id], ...] and [network id, ...] as the last report had them.
    ports          jsonb       NOT NULL,
    networks       jsonb       NOT NULL
);

CREATE TABLE network.security_group (
    id          uuid        PRIMARY KEY,
    project_id  text        NOT NULL,
    name        text        NOT NULL,
    description text        NOT NULL,
    stateful    boolean     NOT NULL DEFAULT true,
    revision    integer     NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
-- A project has one default group.
CREATE UNIQUE INDEX security_group_default ON network.security_group (project_id) WHERE name = 'default';

CREATE TABLE network.security_group_rule (
    id                uuid        PRIMARY KEY,
    security_group_id uuid        NOT NULL REFERENCES network.security_group ON DELETE CASCADE,
    project_id        text        NOT NULL,
    direction         text        NOT NULL CHECK (direction IN ('ingress', 'egress')),
    ethertype         text        NOT NULL CHECK (ethertype IN ('IPv4', 'IPv6')),
    protocol          text,
    port_range_min    integer,
    port_range_max    integer,
    remote_ip_prefix  cidr,
    remote_group_id   uuid        REFERENCES network.security_group ON DELETE CASCADE,
    description       text        NOT NULL DEFAULT '',
    created_at        timestamptz NOT NULL
);
CREATE INDEX security_group_rule_of_group ON network.security_group_rule (security_group_id);

-- Limits that differ from the defaults; below zero means none.
CREATE TABLE network.quota (
    project_id text    NOT NULL,
    resource   text    NOT NULL,
    most       integer NOT NULL,
    PRIMARY KEY (project_id, resource)
);
