-- The image service: what a server's disk is made from. The data itself is in the image store, under data_name.
CREATE SCHEMA image;

CREATE TABLE image.image (
    id               uuid        PRIMARY KEY,
    owner            text        NOT NULL,
    name             text,
    status           text        NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'active', 'deactivated')),
    visibility       text        NOT NULL CHECK (visibility IN ('public', 'private', 'shared', 'community')),
    disk_format      text,
    container_format text,
    min_disk         integer     NOT NULL DEFAULT 0 CHECK (min_disk >= 0),
    min_ram          integer     NOT NULL DEFAULT 0 CHECK (min_ram >= 0),
    protected        boolean     NOT NULL DEFAULT false,
    os_hidden        boolean     NOT NULL DEFAULT false,
    tags             text[]      NOT NULL DEFAULT '{}',
    properties       jsonb       NOT NULL DEFAULT '{}',
    size             bigint CHECK (size >= 0),
    virtual_size     bigint CHECK (virtual_size >= 0),
    checksum         text,
    os_hash_value    text,
    -- The file in the image store; drawn by the upload that won.
    data_name        text UNIQUE,
    -- An upload holds the image until this moment and prolongs it while data flows. A killed gateway prolongs nothing,
    -- so an image that it was filling is queued again by itself.
    upload_id        uuid,
    upload_until     timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    -- What was uploaded has a size, digests and a place; what was not has none of them.
    CHECK ((status = 'queued') = (data_name IS NULL)),
    CHECK ((status = 'queued') = (size IS NULL)),
    CHECK ((status = 'queued') = (os_hash_value IS NULL)),
    CHECK ((upload_id IS NULL) = (upload_until IS NULL)),
    CHECK (status = 'queued' OR upload_id IS NULL)
);
CREATE INDEX image_by_owner ON image.image (owner, created_at DESC, id DESC);
CREATE INDEX image_by_time ON image.image (created_at DESC, id DESC);
CREATE INDEX image_by_name ON image.image (name);

-- Projects that a shared image is shared with.
CREATE TABLE image.member (
    image_id   uuid        NOT NULL REFERENCES image.image ON DELETE CASCADE,
    member_id  text        NOT NULL,
    status     text        NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'rejected')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (image_id, member_id)
);
CREATE INDEX member_by_project ON image.member (member_id, status);

-- Limits of single projects; a project without a row has the defaults.
CREATE TABLE image.quota (
    project_id       text    PRIMARY KEY,
    image_count      integer NOT NULL CHECK (image_count >= -1),
    image_size_total bigint  NOT NULL CHECK (image_size_total >= -1)
);
COMMENT ON COLUMN image.quota.image_size_total IS 'MiB; -1 is without limit';
