import { join, resolve } from 'node:path'
import { LEASE_OPTIONS, type LeaseOptions, leasedLock, leaseFrom, type WithLock } from '../store/index.ts'
import { assertMethods, assertOptions, optionInvalid } from '../token/index.ts'
import { describe, sha256 } from '../util/index.ts'
import { lockFile } from './lock-file.ts'
import { createSweep } from './lock-leavings.ts'

/** How a {@link fileLock} behaves. */
export interface FileLockOptions extends LeaseOptions {
  /** How long the file system may take for one step. Default 1 s; at most a third of `leaseMs`. */
  readonly deadlineMs?: number | undefined
}

/**
 * A lock that processes of one machine share through a folder: one file a name while it is held, which lasts for a lease and is renewed while
 * the task runs. The folder has to exist, on a disk of this machine that knows hard links; files in it are for their owner alone. What killed
 * processes have left half done is removed by whoever has a turn later. Of the tasks in this process that wait for one name, one at a time
 * looks there.
 *
 * The lock throws StoreError with code `lock_unavailable` when the folder is missing, not to be written to or does not answer in time, and
 * `lock_timeout` when the lock stays taken; the task has not begun then, and the caller decides whether to go on without.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`.
 */
export function fileLock(folder: string, options: FileLockOptions = {}): WithLock {
  const [place, given]: readonly unknown[] = [folder, options]
  if (typeof place !== 'string' || place === '' || place.includes('\0')) {
    throw optionInvalid('fileLock', `a path of a folder, got ${describe(place)}`)
  }
  assertOptions('fileLock', given, LEASE_OPTIONS)
  const absolute = resolve(place)
  const lease = leaseFrom('fileLock', options, { deadlineMs: 1000 })
  assertMethods('fileLock', { option: 'clock', value: lease.clock }, ['wallTime'])
  const onTaken = createSweep(absolute, lease)
  return leasedLock({
    ...lease,
    keeper: 'the file system',
    // Hashed, so that a name can neither lead to another folder nor tell what is in it.
    commandsFor: async (name) => lockFile({ ...lease, onTaken, path: join(absolute, `${await sha256(name)}.lock`) }),
  })
}
