"""Tar streams: one strict reader, one writer, one extractor for all rooms and the command line.

    format    names and numbers of the format
    write     headers and entries as bytes; pure, but for the content of an open file
    read      a stream to headers; pure
    beneath   directories below an open one, without following a link
    extract   a stream to files beneath one directory
    pack      a file or a tree of this host to a stream
    left      what an extraction that was killed has left
    leftout   what the last two leave out

Reads and writes only below the descriptors or paths that it is given; starts no process and locks
nothing but unfinished files. A stream to be read is hostile: what two readers of tar could read
differently is refused, names never leave the top, and every header and list is bounded.

`extract` creates each file under a temporary name and renames it, so a process that dies leaves no
half file under a real name: at most one `.banger-cp.*` file beside it, which the next extraction
into that directory removes.
"""
