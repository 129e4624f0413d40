-- Compute: flavors, keypairs, hypervisor hosts, servers, quotas.
CREATE SCHEMA compute;

CREATE TABLE compute.flavor (
    id            text             PRIMARY KEY CHECK (id <> ''),
    name          text             NOT NULL UNIQUE CHECK (name <> ''),
    vcpus         integer          NOT NULL CHECK (vcpus > 0),
    memory_mib    integer          NOT NULL CHECK (memory_mib > 0),
    disk_gib      integer          NOT NULL CHECK (disk_gib >= 0),
    ephemeral_gib integer          NOT NULL DEFAULT 0 CHECK (ephemeral_gib >= 0),
    swap_mib      integer          NOT NULL DEFAULT 0 CHECK (swap_mib >= 0),
    rxtx_factor   double precision NOT NULL DEFAULT 1,
    is_public     boolean          NOT NULL DEFAULT true,
    disabled      boolean          NOT NULL DEFAULT false,
    description   text,
    extra_specs   jsonb            NOT NULL DEFAULT '{}',
    created_at    timestamptz      NOT NULL
);

-- Projects that see a flavor which is not public.
CREATE TABLE compute.flavor_access (
    flavor_id  text NOT NULL REFERENCES compute.flavor ON DELETE CASCADE,
    project_id text NOT NULL,
    PRIMARY KEY (flavor_id, project_id)
);
CREATE INDEX flavor_access_by_project ON compute.flavor_access (project_id);

-- A user's own; the private half is never stored.
CREATE TABLE compute.keypair (
    number      bigint      GENERATED ALWAYS AS IDENTITY,
    user_id     text        NOT NULL,
    name        text        NOT NULL,
    type        text        NOT NULL CHECK (type IN ('ssh', 'x509')),
    fingerprint text        NOT NULL,
    public_key  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, name)
);

-- A hypervisor host, which is also its nova-compute service. Both ids stay the same as long as the row lives.
CREATE TABLE compute.host (
    name               text        PRIMARY KEY,
    number             integer     GENERATED ALWAYS AS IDENTITY UNIQUE,
    hypervisor_id      uuid        NOT NULL UNIQUE,
    service_id         uuid        NOT NULL UNIQUE,
    zone               text        NOT NULL DEFAULT 'nova',
    hypervisor_type    text        NOT NULL,
    hypervisor_version bigint      NOT NULL,
    address            text        NOT NULL,
    vcpus              integer     NOT NULL,
    memory_mib         integer     NOT NULL,
    disk_gib           integer     NOT NULL,
    cpu_info           jsonb       NOT NULL,
    up                 boolean     NOT NULL,
    disabled           boolean     NOT NULL DEFAULT false,
    disabled_reason    text,
    forced_down        boolean     NOT NULL DEFAULT false,
    -- When the newest report was taken, by the host's clock: an older report changes nothing.
    taken_at           timestamptz NOT NULL,
    -- When we last heard of the host, by our clock.
    heard_at           timestamptz NOT NULL,
    started_at         timestamptz NOT NULL,
    created_at         timestamptz NOT NULL,
    CHECK (disabled OR disabled_reason IS NULL)
);

CREATE TABLE compute.server (
    id                uuid        PRIMARY KEY,
    number            bigint      GENERATED ALWAYS AS IDENTITY,
    project_id        text        NOT NULL,
    user_id           text        NOT NULL,
    name              text        NOT NULL,
    hostname          text        NOT NULL,
    description       text,
    -- State, task and power: skybus.compute.servers.server_move alone writes these three and `generation`.
    state             text        NOT NULL CHECK (state IN ('BUILD', 'ACTIVE', 'SHUTOFF', 'ERROR', 'DELETED')),
    task_state        text,
    power_state       smallint    NOT NULL DEFAULT 0,
    generation        integer     NOT NULL DEFAULT 0,
    -- The flavor as it was when the server was created: a deleted flavor takes nothing from its servers.
    flavor_id         text        NOT NULL,
    flavor_name       text        NOT NULL,
    vcpus             integer     NOT NULL,
    memory_mib        integer     NOT NULL,
    disk_gib          integer     NOT NULL,
    ephemeral_gib     integer     NOT NULL,
    swap_mib          integer     NOT NULL,
    extra_specs       jsonb       NOT NULL,
    image_id          uuid,
    -- The key as it was when the server was created.
    key_name          text,
    key_type          text,
    public_key        text,
    user_data         text,
    config_drive      boolean     NOT NULL,
    metadata          jsonb       NOT NULL,
    tags              text[]      NOT NULL DEFAULT '{}',
    trusted_certs     text[],
    security_groups   text[]      NOT NULL,
    zone              text,
    wanted_host       text,
    host              text,
    vnc_port          integer,
    launch_index      integer     NOT NULL,
    reservation_id    text        NOT NULL,
    access_ipv4       text        NOT NULL DEFAULT '',
    access_ipv6       text        NOT NULL DEFAULT '',
    disk_config       text        NOT NULL CHECK (disk_config IN ('AUTO', 'MANUAL')),
    locked_by         text        CHECK (locked_by IN ('owner', 'admin')),
    locked_reason     text,
    fault_code        integer,
    fault_message     text,
    fault_details     text,
    fault_at          timestamptz,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    launched_at       timestamptz,
    terminated_at     timestamptz,
    -- A deleted server stays as a row: lists with deleted=true and changes-since show it.
    deleted           boolean     NOT NULL DEFAULT false,
    CHECK (deleted = (state = 'DELETED')),
    CHECK (deleted = (terminated_at IS NOT NULL))
);
CREATE INDEX server_of_project ON compute.server (project_id, created_at DESC, id DESC) WHERE NOT deleted;
CREATE INDEX server_of_all ON compute.server (created_at DESC, id DESC) WHERE NOT deleted;
CREATE INDEX server_on_host ON compute.server (host) WHERE NOT deleted;
CREATE INDEX server_by_change ON compute.server (project_id, updated_at);

-- What a project, or one user in it (user_id not empty), may own when it is not the default.
CREATE TABLE compute.quota (
    project_id text    NOT NULL,
    user_id    text    NOT NULL DEFAULT '',
    resource   text    NOT NULL,
    most       integer NOT NULL CHECK (most >= -1),
    PRIMARY KEY (project_id, user_id, resource)
);
