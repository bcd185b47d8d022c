//! Devices: by the API, and by REGISTER.
//!
//! A token is asked for in the store before a device gets it: its former user hears `DeviceGone`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use switchboard::directory::{DEVICES_MAX, Device};
use switchboard::store::{Row, StoreFault};
use switchboard::{ApiRequest, ApiResponse, Effects, Notice, Usual};

use crate::{Pending, Refusal, Refused, Room, body, store};

/// Devices that are remembered as not yet written.
const LATE_MAX: usize = 10_000;

impl Room {
    pub(crate) fn list_devices(
        &self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let user = request.arg(0);
        effects.directory().user(user).ok_or(Refusal::NoSuchUser)?;
        let devices = effects.directory().devices(user);
        let items: Vec<Value> = devices.iter().map(|device| show(user, device)).collect();
        let list = json!({"items": items, "next": null});
        effects.answer(request.id, ApiResponse::json(200, &list));
        Ok(())
    }

    pub(crate) fn one_device(
        &self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let device = find(request, effects)?;
        effects.answer(request.id, ApiResponse::json(200, &show(request.arg(0), &device)));
        Ok(())
    }

    pub(crate) fn put_device(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let user = request.arg(0).to_owned();
        effects.directory().user(&user).ok_or(Refusal::NoSuchUser)?;
        let device = body::device(body::name(request.arg(1))?, &request.body)?;
        let known = effects.directory().devices(&user);
        let new = !known.iter().any(|other| other.name == device.name);
        if new && !known.iter().any(|other| same(other, &device)) && known.len() >= DEVICES_MAX {
            return Err(Refusal::TooManyDevices.into());
        }
        let ticket = effects.load(store::owner(&device.target));
        self.pending.insert(ticket, Pending::OwnerForApi { api: request.id, user, device, new });
        Ok(())
    }

    pub(crate) fn owner_found_for_api(
        &mut self,
        api: u64,
        user: String,
        device: Device,
        new: bool,
        rows: Result<Vec<Row>, StoreFault>,
        effects: &mut Effects<'_>,
    ) {
        let rows = match rows {
            Ok(rows) => rows,
            Err(fault) => return effects.refuse_api(api, &Refusal::of_store(fault)),
        };
        take_away(&user, &device, &rows, effects);
        let ticket = effects.write(store::put_device(&user, &device, None, effects.unix()));
        self.pending.insert(ticket, Pending::PutDevice { api, user, device, new });
    }

    pub(crate) fn device_written(
        &mut self,
        api: u64,
        user: String,
        device: Device,
        new: bool,
        effects: &mut Effects<'_>,
    ) {
        let shown = show(&user, &device);
        self.late.remove(&(user.clone(), device.name.clone()));
        effects.put_device(&user, device.clone());
        effects.publish(Notice::DeviceSeen { user, device });
        effects.answer(api, ApiResponse::json(if new { 201 } else { 200 }, &shown));
    }

    pub(crate) fn delete_device(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let (user, device) = (request.arg(0).to_owned(), find(request, effects)?);
        let ticket = effects.write(store::drop_device(&user, &device.name));
        self.pending.insert(ticket, Pending::DropDevice { api: request.id, user, device });
        Ok(())
    }

    pub(crate) fn device_dropped(
        &mut self,
        api: u64,
        user: String,
        device: Device,
        effects: &mut Effects<'_>,
    ) {
        effects.remove_device(&user, |known| known.name == device.name);
        let provider = device.target.provider.name().to_owned();
        effects.publish(Notice::DeviceGone { user, provider, prid: device.target.prid });
        effects.answer(api, ApiResponse::empty(204));
    }

    /// A device made itself known. It can be woken at once; the store follows.
    pub(crate) fn device_seen(&mut self, user: &str, device: &Device, effects: &mut Effects<'_>) {
        let mut device = device.clone();
        let mut written = false;
        if let Some(known) =
            effects.directory().devices(user).iter().find(|known| same(known, &device))
        {
            // One token is one device: the name of the API stays, and the keys that REGISTER cannot carry.
            device.name.clone_from(&known.name);
            device.kind.clone_from(&known.kind);
            device.target.p256dh = device.target.p256dh.or_else(|| known.target.p256dh.clone());
            device.target.auth = device.target.auth.or_else(|| known.target.auth.clone());
            written = *known == device;
        }
        if written && !self.late.contains(&(user.to_owned(), device.name.clone())) {
            return;
        }
        if self.late.len() < LATE_MAX {
            self.late.insert((user.to_owned(), device.name.clone()));
        }
        let ticket = effects.load(store::owner(&device.target));
        let evicted = self.evicted(user, &device, effects);
        effects.put_device(user, device.clone());
        if let Some(evicted) = evicted {
            let ticket = effects.write(store::drop_device(user, &evicted));
            self.pending.insert(ticket, Pending::ForgetToken);
        }
        self.pending.insert(ticket, Pending::FindOwner { user: user.to_owned(), device });
    }

    /// The device that gives way in the directory.
    fn evicted(&self, user: &str, device: &Device, effects: &Effects<'_>) -> Option<String> {
        let others = effects
            .directory()
            .devices(user)
            .iter()
            .filter(|known| known.name != device.name && !same(known, device));
        let mut others = others.map(|known| known.name.clone());
        let oldest = others.next()?;
        (others.count() + 1 >= DEVICES_MAX).then_some(oldest)
    }

    pub(crate) fn owner_found(
        &mut self,
        user: String,
        device: Device,
        rows: Result<Vec<Row>, StoreFault>,
        effects: &mut Effects<'_>,
    ) {
        let Ok(rows) = rows else {
            effects.count("people.device_not_written");
            return;
        };
        // It may have gone again in the meantime, to another user for example.
        if !effects.directory().devices(&user).iter().any(|known| same(known, &device)) {
            return;
        }
        take_away(&user, &device, &rows, effects);
        let ticket = effects.write(store::put_device(&user, &device, None, effects.unix()));
        self.pending.insert(ticket, Pending::KeepDevice { user, name: device.name });
    }

    pub(crate) fn device_gone(
        &mut self,
        user: &str,
        provider: &str,
        prid: &str,
        effects: &mut Effects<'_>,
    ) {
        let named =
            |known: &Device| known.target.provider.name() == provider && known.target.prid == prid;
        let known = effects.directory().devices(user).iter().find(|known| named(known));
        let Some(name) = known.map(|known| known.name.clone()) else { return };
        self.late.remove(&(user.to_owned(), name));
        effects.remove_device(user, named);
        let ticket = effects.write(store::drop_token(user, provider, prid));
        self.pending.insert(ticket, Pending::ForgetToken);
    }
}

/// Tells the former users of a token.
fn take_away(user: &str, device: &Device, rows: &[Row], effects: &mut Effects<'_>) {
    let owners = rows.iter().filter_map(|row| row.first()?.text());
    for owner in owners.filter(|owner| *owner != user) {
        effects.publish(Notice::DeviceGone {
            user: owner.to_owned(),
            provider: device.target.provider.name().to_owned(),
            prid: device.target.prid.clone(),
        });
    }
}

fn find(request: &ApiRequest, effects: &Effects<'_>) -> Result<Device, Refused> {
    let user = request.arg(0);
    effects.directory().user(user).ok_or(Refusal::NoSuchUser)?;
    let devices = effects.directory().devices(user);
    let found = devices.iter().find(|device| device.name == request.arg(1));
    Ok(found.cloned().ok_or(Refusal::NoSuchDevice)?)
}

/// Whether two devices have the same token.
fn same(one: &Device, other: &Device) -> bool {
    (one.target.provider, &one.target.prid) == (other.target.provider, &other.target.prid)
}

/// The secret of a Web Push receiver is not shown.
fn show(user: &str, device: &Device) -> Value {
    let target = &device.target;
    let mut push = json!({
        "provider": target.provider.name(),
        "param": target.param,
        "prid": target.prid,
    });
    if let Some(alert) = &target.prid_alert {
        push["prid_alert"] = json!(alert);
    }
    if let Some(key) = &target.p256dh {
        push["p256dh"] = json!(URL_SAFE_NO_PAD.encode(key));
    }
    json!({"user": user, "name": device.name, "kind": device.kind, "push": push})
}
