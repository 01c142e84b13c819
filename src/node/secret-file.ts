import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { isEvertokenError } from '../token/index.ts'
import {
  assertReadable,
  type Look,
  lookFrom,
  mayReturn,
  PAUSES_MS,
  type SecretFile,
  type Unsettled,
  unreadableError,
  unsettledError,
} from './secret-file-rules.ts'

/** Without `O_NONBLOCK` (which Windows lacks) the open of a FIFO would wait for somebody to write to it. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/** What else a reading depends on. */
export interface ReadOptions {
  /** Says what keeps the content from being complete; the file is then looked at again, and accepted as it is in the end. */
  readonly isComplete?: ((bytes: Uint8Array) => boolean) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Reads a small file as it is at one moment: old or new while somebody replaces it, never a mixture. A file that is empty,
 * incomplete, changing or just written is looked at again for a quarter of a second.
 *
 * @throws ConfigurationError with code `file_unreadable`, `file_invalid` or `file_permissions`; TransportError with code
 * `file_unsettled`.
 */
export async function readSecretFile(file: SecretFile, { isComplete, signal }: ReadOptions = {}): Promise<Uint8Array> {
  let unsettled: Unsettled = 'empty'
  for (let looks = 0; ; looks++) {
    signal?.throwIfAborted()
    const look = await lookAt(file, looks)
    const pause = PAUSES_MS[looks]
    // Once seen with content or to change, a file that is empty at the last look is being written.
    if ('bytes' in look || look.unsettled === 'changing') unsettled = 'changing'
    // Where nothing tells whether the content is whole, its age does.
    const isDone = 'bytes' in look && (isComplete?.(look.bytes) ?? !look.isYoung)
    if (pause === undefined || isDone) return settled(file, look, unsettled)
    // Real time, whatever clock the caller has: the writer of the file lives in it. An abort is thrown above, as its reason.
    await setTimeout(pause, undefined, { signal }).catch(() => {})
  }
}

/**
 * Reads a small file as {@link readSecretFile} does, at once: for keys and certificates that are needed when something is created.
 * It blocks for a quarter of a second at most, and only while the file is empty, changing or has just been written.
 *
 * @throws ConfigurationError with code `file_unreadable`, `file_invalid` or `file_permissions`; TransportError with code
 * `file_unsettled`.
 */
export function readSecretFileSync(file: SecretFile): Uint8Array {
  let unsettled: Unsettled = 'empty'
  for (let looks = 0; ; looks++) {
    const look = lookAtSync(file, looks)
    const pause = PAUSES_MS[looks]
    // Once seen with content or to change, a file that is empty at the last look is being written.
    if ('bytes' in look || look.unsettled === 'changing') unsettled = 'changing'
    const isDone = 'bytes' in look && !look.isYoung
    if (pause === undefined || isDone) return settled(file, look, unsettled)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0, pause)
  }
}

function settled(file: SecretFile, look: Look, unsettled: Unsettled): Uint8Array {
  if ('bytes' in look) return look.bytes
  throw unsettledError(file, unsettled)
}

async function lookAt(file: SecretFile, looks: number): Promise<Look> {
  let handle: FileHandle | undefined
  try {
    handle = await open(file.path, FLAGS)
    const before = await handle.stat({ bigint: true })
    assertReadable(file, before)
    const length = Number(before.size) + 1
    const first = await handle.read(Buffer.alloc(length), 0, length, 0)
    const second = await handle.read(Buffer.alloc(length), 0, length, 0)
    const after = await handle.stat({ bigint: true })
    return lookFrom(file, { before, after, bytes: readBytes(first), again: readBytes(second) })
  } catch (error) {
    if (mayReturn(error, looks)) return { unsettled: 'empty' }
    throw isEvertokenError(error) ? error : unreadableError(file, error)
  } finally {
    await handle?.close()
  }
}

function lookAtSync(file: SecretFile, looks: number): Look {
  let descriptor: number | undefined
  try {
    descriptor = openSync(file.path, FLAGS)
    const before = fstatSync(descriptor, { bigint: true })
    assertReadable(file, before)
    const [first, second] = [readAllSync(descriptor, before), readAllSync(descriptor, before)]
    const after = fstatSync(descriptor, { bigint: true })
    return lookFrom(file, { before, after, bytes: first, again: second })
  } catch (error) {
    if (mayReturn(error, looks)) return { unsettled: 'empty' }
    throw isEvertokenError(error) ? error : unreadableError(file, error)
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

function readAllSync(descriptor: number, { size }: BigIntStats): Uint8Array {
  const buffer = Buffer.alloc(Number(size) + 1)
  return readBytes({ buffer, bytesRead: readSync(descriptor, buffer, 0, buffer.length, 0) })
}

function readBytes({ buffer, bytesRead }: { readonly buffer: Buffer; readonly bytesRead: number }): Uint8Array {
  return buffer.subarray(0, bytesRead)
}
