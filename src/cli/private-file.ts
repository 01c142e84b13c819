import { randomBytes } from 'node:crypto'
import { closeSync, fchmodSync, fsyncSync, lstatSync, openSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ConfigurationError } from '../token/index.ts'

/** A file that nobody but its owner reads. */
export interface PrivateFile {
  /** Whose file it is, for messages. */
  readonly subject: string
  readonly path: string
  readonly text: string
}

const OWNER_ALONE = 0o600
const RANDOM_BYTES = 6

/**
 * Creates a file with mode 0600 from its first moment on. Of several that create one file at once, one succeeds. Nothing is left of a file
 * that could not be written as a whole.
 *
 * @throws ConfigurationError with code `file_not_written`, also when something of that name exists, a symbolic link included.
 */
export function createPrivateFile({ subject, path, text }: PrivateFile): void {
  const file = orRefuse({ subject, path }, () => openSync(path, 'wx', OWNER_ALONE))
  try {
    orRefuse({ subject, path }, () => {
      // The umask may have taken too much.
      fchmodSync(file, OWNER_ALONE)
      writeFileSync(file, text)
      fsyncSync(file)
    })
  } catch (error) {
    unlinkSync(path)
    throw error
  } finally {
    closeSync(file)
  }
}

/**
 * Puts a file with mode 0600 in the place of another, as a whole or not at all. A symbolic link is refused; one that appears meanwhile is
 * replaced, never followed.
 *
 * @throws ConfigurationError with code `file_not_written`; the old file is as it was.
 */
export function replacePrivateFile({ subject, path, text }: PrivateFile): void {
  const old = orRefuse({ subject, path }, () => lstatSync(path, { throwIfNoEntry: false }))
  if (old !== undefined && !old.isFile()) {
    const came = old.isSymbolicLink() ? 'a symbolic link' : old.isDirectory() ? 'a directory' : 'a device or FIFO'
    throw notWritten(`${subject}: expected "${path}" to be a file, got ${came}`)
  }
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(RANDOM_BYTES).toString('hex')}.tmp`)
  createPrivateFile({ subject, path: temporary, text })
  try {
    orRefuse({ subject, path }, () => renameSync(temporary, path))
  } catch (error) {
    unlinkSync(temporary)
    throw error
  }
  syncFolder(dirname(path))
}

/** Makes the new name last. */
function syncFolder(path: string): void {
  try {
    const folder = openSync(path, 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
  } catch {
    // Windows has no such thing; the file itself is on the disk already.
  }
}

function orRefuse<T>({ subject, path }: Pick<PrivateFile, 'subject' | 'path'>, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'an error'
    const expected = code === 'EEXIST' ? 'not to exist' : 'to be writable'
    throw notWritten(`${subject}: expected "${path}" ${expected}, got ${code === 'EEXIST' ? 'something there' : code}`)
  }
}

function notWritten(message: string): ConfigurationError {
  return new ConfigurationError(message, { code: 'file_not_written' })
}
