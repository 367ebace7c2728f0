//! What of a model file is not weights, measured before it is decoded.
//!
//! A message takes two bytes in a file and hundreds in memory, so the length of a file does not bound what decoding it
//! takes; the bytes that are not weights do.

/// Most bytes of a model file beside the values of its tensors. What `mudenet-export` writes has a twentieth of that.
pub const MAX_STRUCTURE: u64 = 2 << 20;

/// Messages of `onnx.proto3` on the way from a model to values.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

/// What a field holds, as far as it matters here.
enum Field {
    Message(Kind),
    Values,
    Other,
}

impl Kind {
    fn field(self, number: u64) -> Field {
        match (self, number) {
            (Kind::Model, 7) => Field::Message(Kind::Graph),
            (Kind::Graph, 1) => Field::Message(Kind::Node),
            (Kind::Graph, 5) | (Kind::Attribute, 5) => Field::Message(Kind::Tensor),
            (Kind::Node, 5) => Field::Message(Kind::Attribute),
            // float_data and raw_data: as long in memory as in the file.
            (Kind::Tensor, 4 | 9) => Field::Values,
            _ => Field::Other,
        }
    }
}

/// Refuses a model with more structure than [`MAX_STRUCTURE`].
pub(super) fn check(model: &[u8]) -> Result<(), String> {
    let values = values(Kind::Model, model).ok_or("is not an ONNX model")?;
    let structure = model.len() as u64 - values;
    if structure > MAX_STRUCTURE {
        return Err(format!(
            "has {structure} bytes beside its weights, more than the {MAX_STRUCTURE} a model may have"
        ));
    }
    Ok(())
}

/// Bytes of values in a message; `None` where it is no message.
fn values(kind: Kind, mut message: &[u8]) -> Option<u64> {
    let mut sum = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => drop(varint(&mut message)?),
            1 => drop(take(&mut message, 8)?),
            5 => drop(take(&mut message, 4)?),
            2 => {
                let length = varint(&mut message)?;
                let content = take(&mut message, length)?;
                sum += match kind.field(key >> 3) {
                    Field::Message(kind) => values(kind, content)?,
                    Field::Values => length,
                    Field::Other => 0,
                };
            }
            _ => return None,
        }
    }
    Some(sum)
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(count).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::pb;
    use prost::Message;

    fn model(tensor: pb::TensorProto, nodes: usize) -> Vec<u8> {
        let constant = pb::AttributeProto { t: Some(tensor.clone()), ..pb::AttributeProto::default() };
        let mut node = vec![pb::NodeProto::default(); nodes];
        node.push(pb::NodeProto { attribute: vec![constant], ..pb::NodeProto::default() });
        let graph = pb::GraphProto { node, initializer: vec![tensor], ..pb::GraphProto::default() };
        pb::ModelProto { graph: Some(graph), ..pb::ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn weights_are_not_structure_and_everything_else_is() {
        let raw = pb::TensorProto { raw_data: vec![1; 3 << 20], ..pb::TensorProto::default() };
        let floats = pb::TensorProto { float_data: vec![0.5; 1 << 20], ..pb::TensorProto::default() };
        for tensor in [raw, floats] {
            let bytes = model(tensor, 10);
            assert!(bytes.len() - (values(Kind::Model, &bytes).unwrap() as usize) < 100);
            assert_eq!(check(&bytes), Ok(()));
        }
        let nodes = MAX_STRUCTURE as usize / 2;
        assert!(check(&model(pb::TensorProto::default(), nodes - 20)).is_ok());
        assert!(check(&model(pb::TensorProto::default(), nodes)).unwrap_err().contains("beside its weights"));
    }

    #[test]
    fn whatever_prost_decodes_is_measured_and_what_is_cut_is_no_model() {
        let bytes = model(pb::TensorProto { raw_data: vec![1; 50], ..pb::TensorProto::default() }, 3);
        for length in 0..bytes.len() {
            assert!(check(&bytes[..length]).is_ok() || pb::ModelProto::decode(&bytes[..length]).is_err());
        }
        assert_eq!(check(b"\xff\xff").unwrap_err(), "is not an ONNX model");
    }
}
