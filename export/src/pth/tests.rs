//! Files that PyTorch wrote (`make_fixtures.py` beside the fixtures says how), and files that nobody should.

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pth").join(name)
}

/// What `make_fixtures.py` stores: values 0, 1, 2 … in every layout that weights come in.
fn assert_fixture(name: &str) {
    let tensors: HashMap<String, Tensor> = read(&fixture(name)).unwrap().into_iter().collect();
    let get = |name: &str| {
        let tensor = &tensors[name];
        (tensor.size(), tensor.kind(), Vec::<f64>::try_from(tensor.to_kind(Kind::Double).view(-1)).unwrap())
    };
    let count = |n: i32| (0..n).map(f64::from).collect::<Vec<_>>();
    assert_eq!(get("conv.weight"), (vec![2, 3, 2, 2], Kind::Float, count(24)));
    assert_eq!(get("conv.bias"), (vec![2], Kind::Float, vec![-1.5, 2.25]));
    assert_eq!(get("bn.num_batches_tracked"), (vec![], Kind::Int64, vec![7.0]));
    assert_eq!(get("half"), (vec![4], Kind::Half, count(4)));
    assert_eq!(get("transposed"), (vec![3, 2], Kind::Float, vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    assert_eq!(get("part"), (vec![2], Kind::Float, vec![3.0, 4.0]));
    assert_eq!(get("parameter"), (vec![3], Kind::Float, count(3)));
    assert_eq!(tensors.len(), 7);
}

#[test]
fn both_forms_of_a_state_dict_are_read() {
    assert_fixture("state-dict.pth");
    assert_fixture("state-dict-legacy.pth");
}

#[test]
fn what_would_execute_is_refused_by_name() {
    let said = read(&fixture("calls-system.pth")).unwrap_err().to_string();
    assert!(said.contains("calls-system.pth") && said.contains("`posix.system`"), "{said}");
    assert!(said.contains("nothing was executed"), "{said}");
}

#[test]
fn no_cut_or_changed_file_does_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pth");
    for name in ["state-dict.pth", "state-dict-legacy.pth"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for length in (0..whole.len()).step_by(37) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).is_err(), "{name} cut to {length} bytes");
        }
        for at in (0..whole.len().min(3000)).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            std::fs::write(&path, &changed).unwrap();
            // Any outcome but a panic or endless memory will do.
            let _ = read(&path);
        }
    }
}

#[test]
fn nesting_is_bounded() {
    let bomb: Vec<u8> = [0x80, 2, b')'].into_iter().chain(std::iter::repeat_n(0x85, 1 << 20)).chain([b'.']).collect();
    assert!(pickle::state_dict(&bomb).unwrap_err().contains("nested too deeply"));
}

#[test]
fn what_is_no_such_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pth");
    for content in ["", "hello, I am text", "PK and no archive"] {
        std::fs::write(&path, content).unwrap();
        let said = read(&path).unwrap_err().to_string();
        assert!(said.contains("x.pth: cannot be read as a PyTorch state dict"), "{said}");
    }
}
