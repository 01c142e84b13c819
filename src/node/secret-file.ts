import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { ConfigurationError, TransportError } from '../token/index.ts'

/** Who may be able to read a file: its owner alone, as with ssh's keys, or anybody. */
export type FilePermissions = 'private' | 'any'

/** How a small file is read. */
export interface SecretFileOptions {
  /** Whose file it is, for messages. */
  readonly subject: string
  readonly maxBytes?: number | undefined
  readonly permissions?: FilePermissions | undefined
  /** Whether a text is whole; one that is not may be in the course of being written. */
  readonly isWhole?: ((text: string) => boolean) | undefined
}

/** More than any key, certificate chain or assertion has. */
const MAX_BYTES = 64 * 1024
/** A file that is being written is looked at again after so long, so often. */
const PAUSE_MS = 5
const TRIES = 50
/** At start nobody waits: so often in a row. */
const TRIES_AT_ONCE = 5
/** Opening a FIFO must not wait for somebody who writes to it. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/**
 * Reads a small file with a secret in it. What comes back is what the file held at one moment: a file that is changed while it is read,
 * is empty, or is not whole yet is read again, for a quarter of a second at the most.
 *
 * @throws ConfigurationError with code `file_invalid` or `file_permissions`; TransportError with code `file_unsettled`. They name the file
 * and never its content.
 */
export async function readSecretFile(path: string, options: SecretFileOptions): Promise<string> {
  for (let tries = 1; ; tries++) {
    const text = await readOnce(path, options, tries < TRIES)
    if (text !== undefined) return text
    if (tries === TRIES) throw unsettled(path, options)
    await setTimeout(PAUSE_MS)
  }
}

/**
 * The same without waiting, for the start of a program.
 *
 * @throws as `readSecretFile` does.
 */
export function readSecretFileSync(path: string, options: SecretFileOptions): string {
  for (let tries = 0; tries < TRIES_AT_ONCE; tries++) {
    const file = orRefuse(path, options, () => openSync(path, FLAGS))
    try {
      const before = fstatSync(file, { bigint: true })
      assertReadable(path, before, options)
      const buffer = Buffer.alloc(Number(before.size) + 1)
      const length = orRefuse(path, options, () => readSync(file, buffer, 0, buffer.length, 0))
      const text = textOf({ buffer, length, before, after: fstatSync(file, { bigint: true }) }, options)
      if (text !== undefined) return text
    } finally {
      closeSync(file)
    }
  }
  throw unsettled(path, options)
}

async function readOnce(path: string, options: SecretFileOptions, mayBeAbsent: boolean): Promise<string | undefined> {
  let file: FileHandle
  try {
    file = await open(path, FLAGS)
  } catch (error) {
    // Between the removal of one file and the arrival of the next.
    if (mayBeAbsent && codeOf(error) === 'ENOENT') return undefined
    throw unreadable(path, options, error)
  }
  try {
    const before = await file.stat({ bigint: true })
    assertReadable(path, before, options)
    const buffer = Buffer.alloc(Number(before.size) + 1)
    // One call: what is written meanwhile is seen by the second look.
    const { bytesRead: length } = await file.read(buffer, 0, buffer.length, 0)
    return textOf({ buffer, length, before, after: await file.stat({ bigint: true }) }, options)
  } finally {
    await file.close()
  }
}

interface Reading {
  readonly buffer: Buffer
  readonly length: number
  readonly before: BigIntStats
  readonly after: BigIntStats
}

/** The text, if nothing happened to the file between the two looks at it. */
function textOf({ buffer, length, before, after }: Reading, { isWhole }: SecretFileOptions): string | undefined {
  const isSame = before.size === after.size && before.mtimeNs === after.mtimeNs && before.ctimeNs === after.ctimeNs
  if (!isSame || length === 0 || BigInt(length) !== before.size) return undefined
  const text = buffer.toString('utf8', 0, length)
  return text.trim() !== '' && (isWhole?.(text) ?? true) ? text : undefined
}

function assertReadable(path: string, stats: BigIntStats, options: SecretFileOptions): void {
  const { subject, maxBytes = MAX_BYTES, permissions = 'private' } = options
  if (!stats.isFile()) throw invalid(`${subject}: expected "${path}" to be a file, got ${kindOf(stats)}`)
  if (stats.size > BigInt(maxBytes)) {
    throw invalid(`${subject}: expected "${path}" to have at most ${maxBytes} bytes, got ${stats.size}`)
  }
  if (permissions === 'any' || process.geteuid === undefined) return
  const mode = Number(stats.mode) & 0o777
  const came =
    (mode & 0o077) !== 0
      ? `mode 0${mode.toString(8)}`
      : stats.uid !== 0n && stats.uid !== BigInt(process.geteuid())
        ? 'one that belongs to another user'
        : undefined
  if (came === undefined) return
  throw new ConfigurationError(`${subject}: expected "${path}" to be readable by its owner alone, got ${came}`, {
    code: 'file_permissions',
  })
}

function kindOf(stats: BigIntStats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a FIFO'
  if (stats.isSocket()) return 'a socket'
  return 'a device'
}

function orRefuse<T>(path: string, options: SecretFileOptions, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw unreadable(path, options, error)
  }
}

function unreadable(path: string, { subject }: SecretFileOptions, error: unknown): ConfigurationError {
  return invalid(`${subject}: expected "${path}" to be readable, got ${codeOf(error) ?? 'an error'}`)
}

function unsettled(path: string, { subject }: SecretFileOptions): TransportError {
  return new TransportError(`${subject}: expected "${path}" to be whole, got an empty, changing or incomplete file`, {
    code: 'file_unsettled',
    retryable: true,
  })
}

function invalid(message: string): ConfigurationError {
  return new ConfigurationError(message, { code: 'file_invalid' })
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
