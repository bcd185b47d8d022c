//! Users and their pictures.

use serde_json::{Value, json};
use switchboard::directory::{User, Verifier};
use switchboard::input::Picture;
use switchboard::{ApiRequest, ApiResponse, Effects, Notice};
use types::UnixTime;

use crate::body::{self, UserBody};
use crate::{PICTURE_MAX, Pending, Refusal, Refused, Room, image_url, store};

/// Side of the picture that `url` names. Units: pixels.
const THUMBNAIL_SIDE: u32 = 256;

impl Room {
    pub(crate) fn list_users(
        &self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let home = |user: &&User| effects.hosts(effects.home(&user.name));
        let mut users: Vec<&User> = effects.directory().users().filter(home).collect();
        users.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let items: Vec<Value> = users.into_iter().map(|user| self.show(user, effects)).collect();
        let list = json!({"items": items, "next": null});
        effects.answer(request.id, ApiResponse::json(200, &list));
        Ok(())
    }

    pub(crate) fn one_user(
        &self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let user = effects.directory().user(request.arg(0)).ok_or(Refusal::NoSuchUser)?;
        let shown = self.show(user, effects);
        effects.answer(request.id, ApiResponse::json(200, &shown));
        Ok(())
    }

    pub(crate) fn put_user(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let name = body::name(request.arg(0))?;
        let body = UserBody::decode(&request.body)?;
        let known = self.latest(name, effects);
        let verifiers = match (&body.password, &known) {
            (Some(password), _) => Verifier::all(name, effects.domain(), password),
            (None, Some(known)) => known.verifiers.clone(),
            (None, None) => return Err(Refusal::PasswordMissing.into()),
        };
        let user = Box::new(User {
            name: name.to_owned(),
            display_name: body.display_name,
            verifiers,
            digest: body.digest,
            picture: None,
            picture_tiny: None,
            calls: None,
        });
        let ticket = effects.write(store::put_user(&user, effects.unix()));
        let new = known.is_none();
        self.pending.insert(ticket, Pending::PutUser { api: request.id, user, new });
        Ok(())
    }

    /// A user as he will be when the writes under way are done.
    pub(crate) fn latest(&self, name: &str, effects: &Effects<'_>) -> Option<User> {
        for pending in self.pending.values().rev() {
            match pending {
                Pending::PutUser { user, .. } if user.name == name => {
                    return Some((**user).clone());
                }
                Pending::DropUser { name: gone, .. } if gone == name => return None,
                _ => (),
            }
        }
        effects.directory().user(name).cloned()
    }

    pub(crate) fn user_written(
        &mut self,
        api: u64,
        mut user: User,
        new: bool,
        effects: &mut Effects<'_>,
    ) {
        // A picture or call settings may have come while the row was written.
        if let Some(known) = effects.directory().user(&user.name) {
            (user.picture, user.picture_tiny) = (known.picture.clone(), known.picture_tiny.clone());
            user.calls.clone_from(&known.calls);
        }
        let shown = self.show(&user, effects);
        effects.publish(Notice::UserChanged(Box::new(user)));
        effects.answer(api, ApiResponse::json(if new { 201 } else { 200 }, &shown));
    }

    pub(crate) fn delete_user(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let name = request.arg(0).to_owned();
        self.latest(&name, effects).ok_or(Refusal::NoSuchUser)?;
        let ticket = effects.write(store::drop_user(&name));
        self.pending.insert(ticket, Pending::DropUser { api: request.id, name });
        Ok(())
    }

    pub(crate) fn put_image(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let name = request.arg(0).to_owned();
        self.latest(&name, effects).ok_or(Refusal::NoSuchUser)?;
        if request.body.is_empty() {
            return Err(Refusal::PictureDamaged.into());
        }
        if request.body.len() > PICTURE_MAX {
            return Err(Refusal::PictureTooLarge.into());
        }
        let ticket = effects.render(request.body.clone(), &request.content_type);
        self.pending.insert(ticket, Pending::Render { api: request.id, name });
        Ok(())
    }

    pub(crate) fn rendered(
        &mut self,
        api: u64,
        name: String,
        result: Result<Picture, String>,
        effects: &mut Effects<'_>,
    ) {
        match result {
            Ok(picture) => {
                let batch = store::put_picture(&name, Some(&picture), effects.unix());
                let ticket = effects.write(batch);
                self.pending.insert(ticket, Pending::PutPicture { api, name, picture });
            }
            Err(why) => effects.refuse_api(api, &picture_refusal(&why)),
        }
    }

    pub(crate) fn picture_written(
        &mut self,
        api: u64,
        name: &str,
        picture: Picture,
        effects: &mut Effects<'_>,
    ) {
        let Some(mut user) = effects.directory().user(name).cloned() else {
            effects.refuse_api(api, &Refusal::NoSuchUser);
            return;
        };
        let until = self.link_end(effects);
        let shown = json!({
            "url": image_url(&picture.thumbnail, until, effects),
            "full": image_url(&picture.full, until, effects),
            "width": THUMBNAIL_SIDE,
            "height": THUMBNAIL_SIDE,
            "content_type": picture.content_type,
        });
        user.picture = Some(picture.thumbnail);
        user.picture_tiny = Some(picture.tiny);
        effects.publish(Notice::UserChanged(Box::new(user)));
        effects.answer(api, ApiResponse::json(200, &shown));
    }

    pub(crate) fn delete_image(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let name = request.arg(0).to_owned();
        let user = effects.directory().user(&name).ok_or(Refusal::NoSuchUser)?;
        user.picture.as_ref().ok_or(Refusal::NoSuchImage)?;
        let ticket = effects.write(store::put_picture(&name, None, effects.unix()));
        self.pending.insert(ticket, Pending::DropPicture { api: request.id, name });
        Ok(())
    }

    pub(crate) fn picture_dropped(&mut self, api: u64, name: &str, effects: &mut Effects<'_>) {
        if let Some(mut user) = effects.directory().user(name).cloned() {
            (user.picture, user.picture_tiny) = (None, None);
            effects.publish(Notice::UserChanged(Box::new(user)));
        }
        effects.answer(api, ApiResponse::empty(204));
    }

    fn link_end(&self, effects: &Effects<'_>) -> UnixTime {
        effects.unix() + self.config.link_life.into()
    }

    fn show(&self, user: &User, effects: &Effects<'_>) -> Value {
        let until = self.link_end(effects);
        let image =
            user.picture.as_deref().map(|hash| json!({"url": image_url(hash, until, effects)}));
        json!({
            "name": user.name,
            "address": format!("sip:{}@{}", user.name, effects.domain()),
            "display_name": user.display_name,
            "digest": user.digest,
            "image": image,
        })
    }
}

/// The shell's words for a picture that it could not make. What it could not keep is no fault of the picture.
fn picture_refusal(why: &str) -> Refusal {
    let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if says(&["too many pictures"]) {
        Refusal::PictureBusy
    } else if says(&["more than 5 MB", "pixels"]) {
        Refusal::PictureTooLarge
    } else if says(&["no PNG"]) {
        Refusal::PictureUnsupported
    } else if says(&["damaged"]) {
        Refusal::PictureDamaged
    } else {
        Refusal::StoreUnreachable
    }
}
