"""The KVM paths, proven on an emulated host that has hardware virtualisation.

`python -m tests.kvm` (`make test-kvm`). QEMU's emulation offers AMD's SVM with nested paging: a
host of our own, emulated, has a working `/dev/kvm` (docs/adr/0030-emulated-kvm-host.md). banger is
installed in it from its wheel and run there by an ordinary user, as on any host.

    supplies.py   what the emulated host is made of
    wheels.py     banger and the packages that it needs
    cache.py      what is kept between runs
    firecracker.py  the real Firecracker, which runs inside alone
    machine.py    the emulated host: booted, entered, ended
    hold.py       an emulated host to work in by hand
    surroundings.py  private directories of a run
    vms.py        its VMs, as a user handles them
    checks.py     what is proven inside
    limits.py     of these, what the user's service manager does for VMs
    vsock.py      a program of one check: a guest that only vsock leads to
    density.py    what idle clones take, by driver
    __main__.py   one line for each check, an honest status
"""
