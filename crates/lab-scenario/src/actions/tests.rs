use super::{ActionKind, Reading};
use crate::schema::Shape;

#[test]
fn each_action_has_a_key_of_its_own_and_a_reader_that_matches_its_shape() {
    for kind in ActionKind::ALL.iter().copied() {
        assert_eq!(ActionKind::from_name(kind.name()), Some(kind), "the keys are unique");
        let definition = kind.definition();
        match (&definition.key.shape, &definition.reading) {
            (Shape::Mapping(mapping), Reading::Fields(_)) => assert_eq!(mapping.name, kind.name()),
            (Shape::Scalar(_), Reading::Scalar(_) | Reading::Include) => {}
            (shape, _) => panic!("{kind:?} is {shape:?}"),
        }
    }
}
