"""The keys of a fleet, proven with real TLS handshakes."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from interfaces.cli import main
from interfaces.drivers import broker_files, pki
from interfaces.errors import UserError

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pki.init(tmp_path / "keys", ["broker.example"], NOW)
    pki.issue(tmp_path / "keys", "box-1", NOW)
    return tmp_path / "keys"


def handshake(folder: Path, client: str | None, *, server: str = "broker", host: str = "localhost") -> str:
    """The common name the server saw; raises what either side raised."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(folder / f"{server}.crt", folder / f"{server}.key")
    served.load_verify_locations(folder / "ca.crt")
    served.load_verify_locations(folder / "ca.crl")
    served.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    served.verify_mode = ssl.CERT_REQUIRED
    asking = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if client is not None:
        asking.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
    ours, theirs = socket.socketpair()
    seen: list[str | Exception] = []

    def serve() -> None:
        try:
            with served.wrap_socket(ours, server_side=True) as wrapped:
                peer = wrapped.getpeercert()
                assert peer is not None
                subject = peer["subject"]
                seen.append(str(subject[0][0][1]))
                wrapped.sendall(b"x")
        except Exception as error:  # noqa: BLE001  carried to the test
            seen.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with asking.wrap_socket(theirs, server_hostname=host) as wrapped:
            wrapped.recv(1)
    finally:
        thread.join(10)
        ours.close()
    assert isinstance(seen[0], str), seen[0]
    return seen[0]


def test_init_writes_exactly_what_it_says(tmp_path: Path) -> None:
    assert main(["pki", "init", "--dir", str(tmp_path / "d"), "--host", "10.0.0.7"]) == 0
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [
        "broker.crt", "broker.key", "ca.crl", "ca.crt", "ca.key", "optimizer.crt", "optimizer.key", "signing.key",
        "signing.pub",
    ]  # fmt: skip
    assert main(["pki", "issue", "--dir", str(tmp_path / "d"), "--controller", "box-9"]) == 0
    assert (tmp_path / "d" / "box-9.crt").exists()
    assert (tmp_path / "d" / "box-9.key").exists()


def test_keys_are_readable_by_nobody_else(folder: Path) -> None:
    for path in folder.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_controller_is_known_by_its_common_name(folder: Path) -> None:
    assert handshake(folder, "box-1") == "box-1"
    assert handshake(folder, "optimizer", host="broker.example") == "optimizer"


def test_the_broker_is_not_believed_under_another_name(folder: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="match"):
        handshake(folder, "box-1", host="other.example")


def test_a_controller_cannot_pose_as_the_broker(folder: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        handshake(folder, "optimizer", server="box-1")


def test_nobody_without_a_certificate(folder: Path) -> None:
    with pytest.raises(ssl.SSLError, match="certificate required"):
        handshake(folder, None)


def test_a_certificate_of_another_authority_is_refused(folder: Path, tmp_path: Path) -> None:
    pki.init(tmp_path / "other", [], NOW)
    pki.issue(tmp_path / "other", "box-1", NOW)
    for name in ("box-1.crt", "box-1.key"):
        (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(ssl.SSLError):
        handshake(folder, "box-1")


def test_revoked_is_refused_and_the_others_are_not(folder: Path) -> None:
    pki.issue(folder, "box-2", NOW)
    pki.revoke(folder, "box-1", NOW)
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(folder, "box-1")
    assert handshake(folder, "box-2") == "box-2"
    pki.revoke(folder, "box-2", NOW)
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(folder, "box-1")  # the list keeps the first one
    with pytest.raises(UserError, match="already revoked"):
        pki.revoke(folder, "box-1", NOW)


def test_a_renewed_certificate_and_the_older_one_are_both_valid(folder: Path) -> None:
    before = (folder / "box-1.crt").read_bytes()
    pki.rotate(folder, "box-1", NOW)
    assert (folder / "box-1.crt").read_bytes() != before
    assert handshake(folder, "box-1") == "box-1"
    assert handshake(folder, "box-1.old") == "box-1"
    pki.revoke(folder, "box-1", NOW)
    for name in ("box-1", "box-1.old"):
        with pytest.raises(ssl.SSLError, match="revoked"):
            handshake(folder, name)
    with pytest.raises(UserError, match="revoked"):
        pki.rotate(folder, "box-1", NOW)


def test_a_renewed_broker_keeps_its_names(folder: Path) -> None:
    pki.rotate(folder, "broker", NOW)
    assert handshake(folder, "box-1", host="broker.example") == "box-1"


def test_two_signing_keys_during_a_rotation(folder: Path) -> None:
    old = pki.public_keys((folder / "signing.pub").read_bytes())
    pki.rotate(folder, "signing", NOW)
    both = pki.public_keys((folder / "signing.pub").read_bytes())
    assert len(old) == 1
    assert len(both) == 2
    assert set(old) < set(both)
    key = serialization.load_pem_private_key((folder / "signing.key").read_bytes(), None)
    signature = key.sign(b"plan")  # type: ignore[union-attr, call-arg]
    new = next(both[k] for k in both if k not in old)
    new.verify(signature, b"plan")
    with pytest.raises(InvalidSignature):
        next(iter(old.values())).verify(signature, b"plan")


def test_enrolment_signs_a_key_it_has_never_seen(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box-7")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    with pytest.raises(UserError, match="not one of controller 'box-8'"):
        pki.sign_request(folder, "box-8", pem, NOW)
    with pytest.raises(UserError, match="damaged"):
        pki.sign_request(folder, "box-7", pem[:100], NOW)
    certificate = x509.load_pem_x509_certificate(pki.sign_request(folder, "box-7", pem, NOW))
    assert certificate.public_key() == key.public_key()
    assert not (folder / "box-7.key").exists()


def public_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def revoked(folder: Path) -> set[int]:
    return {entry.serial_number for entry in x509.load_pem_x509_crl((folder / "ca.crl").read_bytes())}


def serial(pem: bytes | pki.NotRenewed) -> int:
    assert isinstance(pem, bytes), pem
    return x509.load_pem_x509_certificate(pem).serial_number


def test_a_request_for_a_name_of_the_cloud_side_is_refused(folder: Path) -> None:
    for name in ("optimizer", "broker", "enrolment", "a/b"):
        with pytest.raises(UserError):
            pki.grant(folder, name, public_key(), NOW)


def test_a_lost_key_ends_every_certificate_the_device_ever_had(folder: Path) -> None:
    given = [serial(pki.grant(folder, "box-7", public_key(), NOW)) for _ in range(4)]
    assert revoked(folder) == set()
    last = serial(pki.grant(folder, "box-7", public_key(), NOW, replaces=True))
    assert revoked(folder) == set(given)
    assert last not in revoked(folder)
    pki.revoke(folder, "box-7", NOW)
    assert revoked(folder) == {*given, last}


def test_the_same_key_gets_the_same_certificate_and_nothing_once_revoked(folder: Path) -> None:
    key = public_key()
    first = pki.grant(folder, "box-7", key, NOW)
    assert pki.grant(folder, "box-7", key, NOW, replaces=True) == first
    pki.revoke(folder, "box-7", NOW)
    assert pki.grant(folder, "box-7", key, NOW, replaces=True) is pki.NotRenewed.REVOKED


def test_a_device_with_its_own_key_is_not_rotated_here(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki.grant(folder, "box-7", public_key(), NOW)
    assert main(["pki", "rotate", "--dir", str(folder), "--name", "box-7"]) == 2
    assert "made its own key" in capsys.readouterr().err


def test_a_server_of_the_cloud_side_renews_its_certificate_itself(folder: Path) -> None:
    def made(hosts: list[str], at: datetime) -> int:
        pki.server_pair(folder, "enrolment", hosts, at)
        return serial((folder / "enrolment.crt").read_bytes())

    first = made(["a.example"], NOW)
    assert made(["a.example"], NOW) == first
    assert made(["b.example"], NOW) != first
    late = NOW + timedelta(days=pki.LEAF_DAYS - 20)
    assert made(["b.example"], late) == made(["b.example"], late)


WORKER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from interfaces.drivers import broker_files, pki
folder, name = Path(sys.argv[1]), sys.argv[2]
for k in range(8):
    pki.issue(folder, f"{name}-{k}", datetime.now(UTC))
    pki.revoke(folder, f"{name}-{k}", datetime.now(UTC))
"""


def test_several_may_issue_and_revoke_at_once(folder: Path) -> None:
    """Each revocation reads the list, adds to it and writes it; without a lock most would be lost."""
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(folder), f"w{k}"]) for k in range(4)]
    assert [worker.wait(120) for worker in workers] == [0] * 4
    made = {serial(path.read_bytes()) for path in folder.glob("w*.crt")}
    assert len(made) == 32
    assert revoked(folder) == made


def test_the_broker_is_configured_for_these_keys(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pki", "broker", "--dir", str(folder), "--out", str(tmp_path), "--port", "443"]
    assert main(words) == 0
    conf = tmp_path / "mosquitto.conf"
    assert capsys.readouterr().out == f"mosquitto -c {conf}\n"
    lines = conf.read_text().splitlines()
    assert {f"cafile {folder}/ca.crt", f"crlfile {folder}/ca.crl", "listener 443 0.0.0.0", "user mosquitto"} <= set(
        lines
    )
    assert f"acl_file {tmp_path}/acl" in lines
    assert (tmp_path / "acl").read_text() == (broker_files.TEMPLATES / "acl").read_text()
    assert main([*words[:-1], "0"]) == 2
    assert "no port" in capsys.readouterr().err


def test_thirty_days_ahead_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = NOW + timedelta(days=pki.LEAF_DAYS - 29)
    warned = {e.name for e in pki.expiries(folder, later) if e.warns}
    assert warned == {"broker", "optimizer", "box-1"}
    assert not any(e.warns for e in pki.expiries(folder, NOW))
    pki.issue(folder, "old-box", NOW - timedelta(days=pki.LEAF_DAYS - 5))
    assert main(["pki", "status", "--dir", str(folder)]) == 0
    assert "old-box: expires in 4 days" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "a/b", "a+b", "#", "A", "a b", "-a", "a.b", "x" * 64, "broker", "signing", "ca"])
def test_names_that_would_open_other_topics_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(UserError):
        pki.issue(folder, name, NOW)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["pki", "init", "--dir", "{d}"], "already holds an authority"),
        (["pki", "issue", "--dir", "{d}", "--controller", "box-1"], "already has a certificate"),
        (["pki", "issue", "--dir", "{d}/none", "--controller", "box-1"], "holds no authority"),
        (["pki", "revoke", "--dir", "{d}", "--controller", "nobody"], "no certificate of a controller"),
        (["pki", "revoke", "--dir", "{d}", "--controller", "broker"], "no certificate of a controller"),
        (["pki", "rotate", "--dir", "{d}", "--name", "ca"], "no certificate 'ca'"),
        (["pki", "init", "--dir", "{d}/x", "--host", "a b"], "no host name"),
    ],
)
def test_mistakes_are_one_sentence(folder: Path, argv: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word.replace("{d}", str(folder)) for word in argv]) == 2
    told = capsys.readouterr().err
    assert why in told
    assert told.count("\n") == 1


def test_a_damaged_authority_is_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "ca.key").write_text("nothing")
    assert main(["pki", "issue", "--dir", str(folder), "--controller", "box-3"]) == 2
    assert "is no key" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert main(["pki", "init", "--dir", str(tmp_path / "x")]) == 2
    assert "cannot be made" in capsys.readouterr().err
