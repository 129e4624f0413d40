-- Metadata definitions: what the properties and tags of images, flavors, volumes and so on may be called and mean.
-- A namespace is known by its name in the whole cloud; what is in it goes where the name goes.
CREATE TABLE image.metadef_namespace (
    namespace    text        PRIMARY KEY CHECK (length(namespace) BETWEEN 1 AND 80),
    display_name text,
    description  text,
    visibility   text        NOT NULL DEFAULT 'private' CHECK (visibility IN ('public', 'private')),
    -- Neither it nor anything in it may be deleted.
    protected    boolean     NOT NULL DEFAULT false,
    owner        text        NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE INDEX metadef_namespace_by_owner ON image.metadef_namespace (owner);
CREATE INDEX metadef_namespace_by_time ON image.metadef_namespace (created_at DESC, namespace DESC);

-- Properties that belong together.
CREATE TABLE image.metadef_object (
    namespace   text        NOT NULL REFERENCES image.metadef_namespace ON UPDATE CASCADE ON DELETE CASCADE,
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    description text,
    required    text[]      NOT NULL DEFAULT '{}',
    properties  jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (namespace, name)
);

CREATE TABLE image.metadef_property (
    namespace  text        NOT NULL REFERENCES image.metadef_namespace ON UPDATE CASCADE ON DELETE CASCADE,
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    definition jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, name)
);

CREATE TABLE image.metadef_tag (
    namespace  text        NOT NULL REFERENCES image.metadef_namespace ON UPDATE CASCADE ON DELETE CASCADE,
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, name)
);

-- Kinds of things that carry properties, as OS::Nova::Flavor.
CREATE TABLE image.metadef_resource_type (
    name       text        PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 80),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Which kinds of things a namespace speaks of.
CREATE TABLE image.metadef_association (
    namespace         text        NOT NULL REFERENCES image.metadef_namespace ON UPDATE CASCADE ON DELETE CASCADE,
    resource_type     text        NOT NULL REFERENCES image.metadef_resource_type,
    -- What stands before each property's name on such a thing.
    prefix            text,
    properties_target text,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    PRIMARY KEY (namespace, resource_type)
);
CREATE INDEX metadef_association_by_type ON image.metadef_association (resource_type);
