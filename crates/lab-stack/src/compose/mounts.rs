//! Reads the mounts of a service: named volumes, and folders of the stack with their files. lab uploads folders into volumes so
//! that remote daemons work; therefore single files and writable folders are not supported.

use std::path::{Path, PathBuf};

use crate::folder::{FolderError, normalize};
use crate::{Bind, Content, FolderEntry, Mount, VolumeMount};
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Node, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, did_you_mean, quote};

use super::value_error::ValueError;
use super::{Context, reader, values};

/// A mount as written.
struct Written {
    source: Text,
    target: Text,
    read_only: bool,
    /// True for a folder, false for a volume. `None` without `type`.
    bind: Option<bool>,
}

impl Context<'_> {
    /// Reads the mounts in `volumes`.
    pub(super) fn mounts(&mut self, fields: &Fields) -> Vec<Mount> {
        let Some(entry) = fields.get("volumes") else { return Vec::new() };
        let NodeKind::List(items) = &entry.value.kind else {
            self.out.push(fields::wrong_kind("volumes", &entry.value, "a list: `[\"data:/var/lib/data\"]`"));
            return Vec::new();
        };
        let mut mounts: Vec<Mount> = Vec::new();
        for item in items {
            let written = match &item.kind {
                NodeKind::Scalar(text) => self.short(&Text { text: text.clone(), place: item.place.clone() }),
                _ => self.long(item, &entry.key),
            };
            let Some(written) = written else { continue };
            let Some(target) = reader::parse(&written.target, "volumes", values::target, &mut self.out) else {
                continue;
            };
            if mounts.iter().any(|mount| mount.target() == target) {
                let message = format!("{} is mounted twice", quote(&target));
                self.out.push(Diagnostic::at(message, &written.target.place).label("remove one of the two"));
                continue;
            }
            mounts.extend(self.mount(&written, target));
        }
        mounts
    }

    /// Parses `data:/var/lib/data` or `./conf:/etc/app:ro`.
    fn short(&mut self, text: &Text) -> Option<Written> {
        let parts: Vec<&str> = text.text.split(':').collect();
        let part = |part: &str| Text { text: part.to_owned(), place: text.place.narrow(part) };
        let (source, target, options) = match parts[..] {
            [source, target] => (source, target, "rw"),
            [source, target, options] => (source, target, options),
            _ => {
                let message = format!("`volumes` has {}", quote(&text.text));
                self.out
                    .push(Diagnostic::at(message, &text.place).label("expected `SOURCE:TARGET` or `SOURCE:TARGET:ro`"));
                return None;
            }
        };
        if !["ro", "rw"].contains(&options) {
            let message = format!("the option {} is not supported", quote(options));
            self.out.push(Diagnostic::at(message, &part(options).place).label("expected `ro` or `rw`"));
        }
        Some(Written { source: part(source), target: part(target), read_only: options == "ro", bind: None })
    }

    fn long(&mut self, item: &Node, key: &Text) -> Option<Written> {
        let key = Text { text: key.text.clone(), place: item.place.clone() };
        let keys = ["type", "source", "target", "read_only"];
        let out = &mut self.out;
        let fields = reader::known(item, &key, "a mount", &keys, &[], out)?;
        let kind = |text: &str| match text {
            "bind" => Ok(true),
            "volume" => Ok(false),
            _ => Err(ValueError::MountType),
        };
        let bind = reader::required(&fields, "type", (&key, "the mount"), kind, out);
        reader::required(&fields, "source", (&key, "the mount"), values::text, out);
        reader::required(&fields, "target", (&key, "the mount"), values::text, out);
        let read_only = reader::value(&fields, "read_only", values::boolean, out).unwrap_or_default();
        let mut quiet = Diagnostics::default();
        let (source, target) = (fields.text("source", &mut quiet)?, fields.text("target", &mut quiet)?);
        bind.map(|bind| Written { source, target, read_only, bind: Some(bind) })
    }

    fn mount(&mut self, written: &Written, target: String) -> Option<Mount> {
        let source = &written.source;
        let path = source.text.starts_with(['.', '/', '~']);
        if written.bind.unwrap_or(path) {
            return self.bind(written, target);
        }
        if !self.volumes.contains(&source.text) {
            let volumes = self.volumes.iter().map(String::as_str);
            let label =
                did_you_mean(&source.text, volumes, "expected one of the top-level `volumes`, or a folder: `./name`");
            let message = format!("unknown volume {}", quote(&source.text));
            self.out.push(Diagnostic::at(message, &source.place).label(label));
            return None;
        }
        Some(Mount::Volume(VolumeMount { volume: source.text.clone(), target, read_only: written.read_only }))
    }

    fn bind(&mut self, written: &Written, target: String) -> Option<Mount> {
        let place = &written.source.place;
        let folder = quote(&written.source.text);
        let source = normalize(Path::new(&written.source.text));
        let is_home = written.source.text.starts_with('~');
        let outside = source.starts_with("..") || source.is_absolute() || is_home;
        let is_in = |folders: &[PathBuf]| folders.iter().any(|folder| source.starts_with(folder));
        if is_in(&self.folders.refused) {
            return None;
        }
        let is_named = is_in(&self.folders.readable);
        if outside && !is_named && (is_home || !self.folder.is_allowed(&source)) {
            let mut outside = Diagnostic::at(format!("{folder} is outside the stack's folder"), place)
                .label("move it into the stack's folder")
                .help("or name a folder beside it in `x-lab.folders`: `folders: [../beside]`");
            if !is_home {
                let full = self.folder.full(&source);
                outside =
                    outside.help(format!("if you trust this file, allow it with --allow-folder {}", full.display()));
            }
            self.out.push(outside);
            return None;
        }
        if !written.read_only {
            self.out.push(
                Diagnostic::at(format!("{folder} is mounted writable"), place)
                    .label(format!("add `:ro`: `{}:{target}:ro`", written.source.text))
                    .note("lab uploads a copy of the folder, so changes to it would be lost"),
            );
        }
        match self.folder.entries(&source, &self.folders.readable) {
            Ok(entries) => Some(Mount::Bind(Bind { source, target, entries })),
            Err(FolderError::File) => {
                let parent = source.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                self.out.push(
                    Diagnostic::at(format!("{folder} is a file"), place).label("mount a folder instead").help(format!(
                        "move the files that the container needs from `{}` into their own folder and mount that",
                        parent.display()
                    )),
                );
                None
            }
            Err(error) => {
                self.out.push(Diagnostic::at(format!("{folder} cannot be mounted"), place).label(error.to_string()));
                None
            }
        }
    }
}

impl Mount {
    /// Path in the container.
    pub fn target(&self) -> &str {
        match self {
            Self::Volume(volume) => &volume.target,
            Self::Bind(bind) => &bind.target,
        }
    }

    /// Size of the files in a folder.
    pub(super) fn bytes(&self) -> usize {
        let size = |entry: &FolderEntry| match &entry.content {
            Content::File(bytes) => bytes.len(),
            Content::Folder | Content::Link(_) => 0,
        };
        match self {
            Self::Volume(_) => 0,
            Self::Bind(bind) => bind.entries.iter().map(size).sum(),
        }
    }
}
