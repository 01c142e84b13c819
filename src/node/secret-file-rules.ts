import type { BigIntStats } from 'node:fs'
import { ConfigurationError, TransportError } from '../token/index.ts'
import { describe, systemClock } from '../util/index.ts'

/** How a small file with a secret in it is read. */
export interface SecretFileOptions {
  /** A longer file is refused. Default 64 KiB. */
  readonly maxBytes?: number | undefined
  /**
   * Who else may read the file. `private` refuses a file that its group or others can read or write, or that belongs to somebody other
   * than root and this process's user, as ssh does; on Windows it checks nothing. `any` refuses none.
   */
  readonly permissions?: 'private' | 'any' | undefined
}

/** Where a file is, and what it has to be like. */
export interface SecretFile {
  readonly path: string
  readonly maxBytes: number
  readonly permissions: 'private' | 'any'
}

/** Why a file is looked at again. */
export type Unsettled = 'empty' | 'changing'

/** What one look at a file gave, or why another look is worth while. */
export type Look = { readonly bytes: Uint8Array; readonly isYoung: boolean } | { readonly unsettled: Unsettled }

/** The moments of one look, for the rules to judge. */
export interface Reading {
  readonly before: BigIntStats
  readonly after: BigIntStats
  /** At most one byte more than allowed. */
  readonly bytes: Uint8Array
  /** The same bytes, read once more: file systems count time in steps of milliseconds, in which a writer can come and go. */
  readonly again: Uint8Array
}

const DEFAULT_MAX_BYTES = 64 * 1024
/** No secret is longer; a mistyped option must not fill the memory. */
const MAX_MAX_BYTES = 16 * 1024 * 1024
/** Readable or writable by the group or by others. */
const OTHERS_BITS = 0o066n

/**
 * Waits between looks at a file that somebody is writing, a quarter of a second together: a writer of a few kilobytes needs
 * less, a caller notices more.
 */
export const PAUSES_MS: readonly number[] = [5, 10, 20, 40, 75, 100]

/** Checks the path and the options of a function that reads a file, when it is created. */
export function secretFile(
  option: string,
  path: unknown,
  { maxBytes, permissions = 'private' }: SecretFileOptions,
): SecretFile {
  const problem =
    typeof path !== 'string' || path === '' || path.includes('\0')
      ? `a path, got ${describe(path)}`
      : permissions !== 'private' && permissions !== 'any'
        ? 'permissions to be "private" or "any"'
        : undefined
  if (problem === undefined && typeof path === 'string')
    return { path, maxBytes: byteLimit(option, maxBytes), permissions }
  throw new ConfigurationError(`${option}: expected ${problem}`, { code: 'option_invalid' })
}

/** The option `maxBytes`, checked. */
export function byteLimit(option: string, maxBytes: number = DEFAULT_MAX_BYTES): number {
  if (Number.isInteger(maxBytes) && maxBytes >= 1 && maxBytes <= MAX_MAX_BYTES) return maxBytes
  throw new ConfigurationError(`${option}: expected maxBytes to be a whole number from 1 to ${MAX_MAX_BYTES}`, {
    code: 'option_invalid',
  })
}

/** Refuses what has been opened and may not be read. */
export function assertReadable({ path, maxBytes, permissions }: SecretFile, stats: BigIntStats): void {
  if (!stats.isFile()) throw invalid(path, 'a regular file', kindOf(stats))
  if (stats.size > BigInt(maxBytes)) throw tooLong(path, maxBytes)
  const problem = permissions === 'private' ? exposureOf(stats, process.getuid?.()) : undefined
  if (problem === undefined) return
  throw new ConfigurationError(`file "${path}": expected one that its owner alone can read and write, got ${problem}`, {
    code: 'file_permissions',
  })
}

/** Who could read or write the file beside this process; Windows, which has no user ids, is not judged. */
function exposureOf({ mode, uid }: BigIntStats, own: number | undefined): string | undefined {
  if (own === undefined) return undefined
  if (uid !== 0n && uid !== BigInt(own)) return 'one that belongs to another user'
  const isExposed = (mode & OTHERS_BITS) !== 0n
  return isExposed ? `mode ${(mode & 0o777n).toString(8).padStart(4, '0')}` : undefined
}

/** What a reading is worth: a file that changed while it was read shows a mixture. */
export function lookFrom({ path, maxBytes }: SecretFile, { before, after, bytes, again }: Reading): Look {
  if (bytes.length > maxBytes) throw tooLong(path, maxBytes)
  const isSame =
    before.size === after.size &&
    before.mtimeNs === after.mtimeNs &&
    before.ctimeNs === after.ctimeNs &&
    after.size === BigInt(bytes.length) &&
    Buffer.compare(bytes, again) === 0
  if (!isSame) return { unsettled: 'changing' }
  return bytes.length === 0 ? { unsettled: 'empty' } : { bytes, isYoung: isYoung(after) }
}

/** A writer that has paused goes on within this time, mostly. */
const YOUNG_MS = 30

/** Whether a file was written so lately that its writer may not have ended. */
function isYoung({ mtimeNs }: BigIntStats): boolean {
  // Files have real times, whatever clock the caller has; a time to come says nothing.
  const ageMs = systemClock.wallTime() - Number(mtimeNs / 1_000_000n)
  return ageMs >= 0 && ageMs < YOUNG_MS
}

/** Between the removal of one file and the arrival of the next, or of the folder that a link has just led to. */
const ABSENT: ReadonlySet<unknown> = new Set(['ENOENT', 'ESTALE'])
/** So often a file that is not there is looked for again. */
const SEARCHES = 2

/** Whether a file that could not be opened may be there at the next look. */
export function mayReturn(cause: unknown, looks: number): boolean {
  return looks < SEARCHES && ABSENT.has(Object(cause).code)
}

/** What is thrown about a file that did not settle. */
export function unsettledError({ path }: SecretFile, unsettled: Unsettled): Error {
  if (unsettled === 'empty') return invalid(path, 'content', 'an empty file')
  return new TransportError(`file "${path}": expected it to be written, got one that keeps changing`, {
    code: 'file_unsettled',
    retryable: true,
  })
}

/** What is thrown about a file that the system does not open or read. */
export function unreadableError({ path }: SecretFile, cause: unknown): Error {
  const { code } = Object(cause) as { readonly code?: unknown }
  const got = code === 'ENOENT' ? 'none' : typeof code === 'string' ? code : 'an error'
  return new ConfigurationError(`file "${path}": expected a readable file, got ${got}`, {
    code: 'file_unreadable',
    cause,
  })
}

/** The content as text. */
export function textOf({ path }: SecretFile, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    // The cause is left out: it may quote the content.
    throw invalid(path, 'UTF-8 text', 'other bytes')
  }
}

function kindOf(stats: BigIntStats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a FIFO'
  if (stats.isSocket()) return 'a socket'
  return stats.isCharacterDevice() || stats.isBlockDevice() ? 'a device' : 'something else'
}

function tooLong(path: string, maxBytes: number): ConfigurationError {
  return invalid(path, `at most ${maxBytes} bytes`, 'more')
}

function invalid(path: string, expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`file "${path}": expected ${expected}, got ${came}`, { code: 'file_invalid' })
}
