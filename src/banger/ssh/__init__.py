"""The ssh front: ssh into guests that have no ssh server.

A process of its own (`python -m banger.ssh`), so that the daemon stays small: only this room
imports `asyncssh`. It speaks ssh with clients on `layout.ssh_socket`, and with the daemon by its
API: a shell or a command is `vm.exec`, sftp is `vm.sftp`, a forwarded connection is `vm.connect`.

Who may connect is decided by the socket, as for the daemon: it is in a directory of mode 0700, and
the peer has to be the same user. So no key lets anybody in, and none has to be kept secret. The
host key is the installation's, pinned in `layout.ssh_known_hosts` (`keys.py`): a VM that is made
anew under the same name has no stale key (hazards G3, I5).

The daemon listens, and starts a front when a connection waits (`daemon.sshfront`); the front
accepts. It ends when it has had no connection for `front.IDLE_S`, and with its daemon: sessions
need the daemon, so they are told and ended. Started by a daemon, it is never older than that
daemon, so an upgrade, which ends the daemon, ends it too. If the front dies, its connections break
and the daemon closes their streams, which ends their programs; nothing else is lost, and the next
connection has another front started.

Writes `layout.ssh_host_key` and `layout.ssh_known_hosts`; stderr is `layout.ssh_output`. Takes no
locks.
"""
