/* What workers do (worker.h): one file for each job. A job's return value is 0 for RESULT, with the
 * writer's fields, or -1 for ERROR. */
#ifndef BANGER_JOBS_H
#define BANGER_JOBS_H

#include "fields.h"

enum {
    TAR_IN_EMPTY = 1,  /* FLAGS of TAR_IN */
    TAR_IN_KEEP = 2,
    TAR_OUT_ALONE = 1, /* FLAGS of TAR_OUT */
    REPORT_MAX = 512,  /* bytes of a job's answer */
};

/* `disk` is the data disk's root, -1 if there is none. */
typedef int job(int disk, const struct request *request, struct writer *result,
                struct failure *failure);
job tar_in, tar_out, sync_disks, list_files, read_files, checksum, list_processes, tell_changes;

#endif
