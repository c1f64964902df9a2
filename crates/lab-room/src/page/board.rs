//! The page for the projector.

use lab_drill::drill_time;
use lab_report::report::html::inline;
use maud::{Markup, html};

use super::text::{self, count, foreign, time_of_day};
use super::{Fragment, Frame, chart, connection, content, icon, qr};
use crate::state::State;
use crate::view::Outside;
use crate::view::board::{BoardView, Detail, Place, Revealed, SceneView, Tile};
use crate::view::curve::Curve;
use crate::view::statistics::{MITIGATED, RESOLVED};

/// Most tiles with a name. More of them only have their number.
const NAMED: usize = 60;

/// The page.
pub fn document(state: &State<'_>) -> Markup {
    let parts = fragments(state);
    let body = html! {
        header #bar { (content(&parts, "bar")) }
        (connection())
        main #scene { (content(&parts, "scene")) }
    };
    let title = format!("Board · {}", state.config.title());
    Frame { title: &title, class: "board", events: Some("/board/events"), refresh: None }.document(&body)
}

/// The parts of the page that change.
pub fn fragments(state: &State<'_>) -> Vec<Fragment> {
    let view = BoardView::new(state);
    vec![Fragment::new("bar", bar(state, &view)), Fragment::new("scene", scene(state, &view.scene))]
}

fn bar(state: &State<'_>, view: &BoardView<'_>) -> Markup {
    let (joined, all) = view.joined;
    html! {
        p.room { strong { (state.config.title()) } }
        p { (joined) " of " (all) " joined" }
        @if view.closed { p.flag { "closed" } }
        @else if view.paused { p.flag { "paused" } }
        @if let Some(at) = view.frozen { p.flag { "as of " (time_of_day(at)) } }
        @if view.clock.is_some() { p.time { (text::clock(view.clock)) } }
        @if !matches!(view.scene, SceneView::Join) { p.address { (bare(state.address)) } }
    }
}

/// An address without its scheme, which browsers add.
fn bare(address: &str) -> &str {
    address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/')
}

fn scene(state: &State<'_>, scene: &SceneView<'_>) -> Markup {
    match scene {
        SceneView::Join => join(state),
        SceneView::Tiles(tiles) => self::tiles(tiles),
        SceneView::Outage(curve) => outage(curve),
        SceneView::Top(places) => top(places),
        SceneView::Seat(detail) => self::detail(detail),
        SceneView::Debrief(revealed) => debrief(revealed),
    }
}

fn join(state: &State<'_>) -> Markup {
    html! {
        div.join {
            div.way {
                h1 { "Join with your phone or laptop" }
                ol {
                    li { "Open " strong.address { (bare(state.address)) } }
                    li { "Type the code on your card" }
                    li { "Keep the card: the same code gives you the same seat on any device" }
                }
            }
            (qr::code(state.address))
        }
    }
}

fn tiles(tiles: &[Tile]) -> Markup {
    // The style sheet has a grid for each number of columns.
    let columns = (2..=20).find(|columns| columns * columns * 9 >= tiles.len() * 10).unwrap_or(20);
    let shown = Outside::ALL.into_iter().filter(|state| tiles.iter().any(|tile| tile.outside == *state));
    let dense = tiles.len() > NAMED;
    html! {
        h1.sr { "Seats" }
        ul.tiles.{ "c" (columns) }.dense[dense] {
            @for tile in tiles {
                li.tile.(icon::class(tile.outside)) {
                    span.number { @if dense || tile.named { (tile.number) } @if tile.hand { " " (icon::hand()) span.sr { "hand up" } } }
                    (icon::outside(tile.outside))
                    span.label { (foreign(&tile.label)) }
                    span.word { (tile.outside.word()) }
                }
            }
        }
        ul.legend {
            @for state in shown {
                li { (icon::badge(state)) " " strong { (tiles.iter().filter(|tile| tile.outside == state).count()) } }
            }
        }
    }
}

fn outage(curve: &Curve) -> Markup {
    let now = curve.now;
    let waiting = curve.seats.saturating_sub(now.served + now.failing);
    html! {
        h1 { "Whose users are served" }
        @if curve.steps.is_empty() { p.none { "No drill has begun." } }
        @else {
            (chart::curve(curve))
            p.key {
                span { i.good {} strong { (now.served) } " served" }
                span { i.bad {} strong { (now.failing) } " failing" }
                @if waiting > 0 { span { i.none {} strong { (waiting) } " without requests so far" } }
                span.dim { "drill time of each seat" }
            }
        }
    }
}

fn top(places: &[Place]) -> Markup {
    html! {
        h1 { "The best" }
        @if places.is_empty() { p.none { "There are no points yet." } }
        ol.places {
            @for place in places {
                li { span.place { (place.place) } span.label { (foreign(&place.label)) } span.points { (text::points(place.points)) } }
            }
        }
    }
}

fn detail(detail: &Detail<'_>) -> Markup {
    let current = chart::current(&detail.seconds);
    html! {
        div.detail {
            h1 { (foreign(&detail.tile.label)) @if detail.tile.named { " " span.dim { "seat " (detail.tile.number) } } }
            p { (icon::badge(detail.tile.outside)) @if let Some(now) = current { " · " (now) " % of the requests succeed" } }
            @if detail.seconds.is_empty() { p.none { "Callers start with the drill." } } @else { (chart::callers(&detail.seconds)) }
            @if let Some(snapshot) = detail.snapshot {
                ul.services {
                    @for (name, state) in &snapshot.services { li { strong { (foreign(name)) } " " (foreign(state)) } }
                    @for alert in &snapshot.alerts { li.bad { "alert " strong { (foreign(alert)) } } }
                }
            }
        }
    }
}

fn debrief(revealed: &Revealed) -> Markup {
    let statistics = &revealed.statistics;
    let reached = |name: &str| statistics.phase(name).map_or(0, |phase| phase.reached);
    let served = statistics.phase(MITIGATED).and_then(|phase| phase.time);
    html! {
        div.debrief {
            p.dim { "The incident was" }
            h1 { (revealed.title) }
            p.lead { (inline(&revealed.symptom)) }
            dl {
                div { dt { "diagnosis" } dd { (revealed.diagnosis) } }
                div { dt { "cause and fix" } dd { (inline(&revealed.solution)) } }
                div { dt { "resolved" } dd { (reached(RESOLVED)) " of " (count(statistics.seats, "seat", "seats"))
                    @if let Some(time) = served { ", users served again after " (drill_time(time.median)) " (median)" } } }
                @if let Some(fix) = statistics.wrong_fixes.first() {
                    div { dt { "tried by " (count(fix.seats, "seat", "seats")) } dd { (fix.name) ": " (inline(&fix.why)) } }
                }
            }
            @if !revealed.lessons.is_empty() { ul.lessons { @for lesson in &revealed.lessons { li { (inline(lesson)) } } } }
        }
    }
}
