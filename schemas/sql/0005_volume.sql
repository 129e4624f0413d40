-- The volume service: disks that outlive servers.
CREATE SCHEMA volume;

CREATE TABLE volume.type (
    id          uuid        PRIMARY KEY,
    name        text        NOT NULL UNIQUE,
    description text,
    is_public   boolean     NOT NULL DEFAULT true,
    is_default  boolean     NOT NULL DEFAULT false,
    extra_specs jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL
);
-- There is one default.
CREATE UNIQUE INDEX type_default ON volume.type (is_default) WHERE is_default;

-- Projects that may use a type which is not public.
CREATE TABLE volume.type_access (
    type_id    uuid NOT NULL REFERENCES volume.type ON DELETE CASCADE,
    project_id text NOT NULL,
    PRIMARY KEY (type_id, project_id)
);

CREATE TABLE volume.volume (
    id                uuid        PRIMARY KEY,
    project_id        text        NOT NULL,
    user_id           text        NOT NULL,
    name              text,
    description       text,
    size_gib          integer     NOT NULL CHECK (size_gib > 0),
    -- Written by one function alone; the ways are in skybus.volume.states.
    status            text        NOT NULL CHECK (status IN ('creating', 'available', 'attaching', 'in-use', 'detaching',
                                                            'deleting', 'error', 'error_deleting', 'deleted')),
    type_id           uuid        NOT NULL REFERENCES volume.type,
    availability_zone text        NOT NULL,
    -- The storage host that has it, once one was chosen.
    host              text,
    bootable          boolean     NOT NULL DEFAULT false,
    metadata          jsonb       NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz,
    deleted_at        timestamptz,
    CHECK ((status = 'deleted') = (deleted_at IS NOT NULL)),
    -- What is usable is somewhere.
    CHECK (host IS NOT NULL OR status IN ('creating', 'error', 'deleting', 'error_deleting', 'deleted'))
);
CREATE INDEX volume_by_project ON volume.volume (project_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX volume_by_time ON volume.volume (created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX volume_by_host ON volume.volume (host) WHERE deleted_at IS NULL;
CREATE INDEX volume_by_type ON volume.volume (type_id) WHERE deleted_at IS NULL;

-- A volume that a server has, or is getting, or is losing.
CREATE TABLE volume.attachment (
    id          uuid        PRIMARY KEY,
    volume_id   uuid        NOT NULL REFERENCES volume.volume,
    project_id  text        NOT NULL,
    server_id   uuid        NOT NULL,
    -- As the API spells it, /dev/vdb.
    device      text        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('attaching', 'attached', 'detaching')),
    delete_on_termination boolean NOT NULL DEFAULT false,
    tag         text,
    -- Where the volume is exported, once it is.
    portal      text,
    iqn         text,
    lun         integer,
    created_at  timestamptz NOT NULL,
    attached_at timestamptz,
    CHECK ((iqn IS NULL) = (portal IS NULL) AND (iqn IS NULL) = (lun IS NULL))
);
-- A volume is with one server at a time, and a device of a server is one volume.
CREATE UNIQUE INDEX attachment_one ON volume.attachment (volume_id);
CREATE UNIQUE INDEX attachment_device ON volume.attachment (server_id, device);
CREATE INDEX attachment_by_project ON volume.attachment (project_id, created_at, id);

-- Apart from the attachment, so that no view of one can carry it: the password that the host logs in with.
CREATE TABLE volume.chap (
    attachment_id uuid PRIMARY KEY REFERENCES volume.attachment ON DELETE CASCADE,
    chap_user     text NOT NULL,
    chap_password text NOT NULL
);

-- Limits of single projects; a resource without a row has the default.
CREATE TABLE volume.quota (
    project_id text    NOT NULL,
    resource   text    NOT NULL,
    most       integer NOT NULL CHECK (most >= -1),
    PRIMARY KEY (project_id, resource)
);

-- What storage hosts have, as they last said.
CREATE TABLE volume.pool (
    host         text        PRIMARY KEY,
    capacity_gib integer     NOT NULL,
    free_gib     integer     NOT NULL,
    taken_at     timestamptz NOT NULL,
    heard_at     timestamptz NOT NULL
);
