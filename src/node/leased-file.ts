import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Clock } from '../util/index.ts'

/** What is found under a name. */
export interface Found {
  readonly text: string
  readonly renewedAt: number
}

/** A file that is to get a name which one file at a time has for a lease. */
export interface Candidate {
  /** A name that it has already. */
  readonly path: string
  /** What is in it and in no other file: {@link leaseText}. */
  readonly text: string
  readonly clock: Clock
}

/** Neither follows what somebody else has put there nor waits for it. */
const LOOK = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
const MAX_BYTES = 128
/** An owner, and for how many milliseconds the name is its own after the last renewal. */
const TEXT = /^[\w-]{24} (\d{1,9})\n$/
/** How long a name lasts whose file is no work of ours. */
const USUAL_LEASE_MS = 5000

/** What is in a file that has a name for a lease. */
export function leaseText(owner: string, leaseMs: number): string {
  return `${owner} ${Math.ceil(leaseMs)}\n`
}

/** The file under a name, or `undefined` where there is none. */
export async function look(path: string): Promise<Found | undefined> {
  let file: FileHandle
  try {
    file = await open(path, LOOK)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
  try {
    const { mtimeMs } = await file.stat()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0)
    return { text: buffer.toString('latin1', 0, bytesRead), renewedAt: mtimeMs }
  } finally {
    await file.close()
  }
}

/** Whether the lease is over; also when its time is to come, since a clock that was set back must not make it last. */
export function isOver({ text, renewedAt }: Found, clock: Clock): boolean {
  const leaseMs = Number(TEXT.exec(text)?.[1] ?? USUAL_LEASE_MS)
  return Math.abs(clock.wallTime() - renewedAt) > leaseMs
}

/** Renews a lease: by its handle, so that it is this file and never one that has come in its place. */
export async function touch(file: FileHandle, clock: Clock): Promise<void> {
  const seconds = clock.wallTime() / 1000
  await file.utimes(seconds, seconds)
}

/**
 * The name that whoever wants to take a name from its owner, or gives it up as that owner, has to have first. A system has no way to replace
 * or remove a file only if it is a certain one; so that is done by one at a time, and whoever comes late finds another owner.
 */
export function successionOf(path: string, text: string): string {
  const hash = createHash('sha256')
    .update(`${basename(path)}\n${text}`)
    .digest('base64url')
  return join(dirname(path), `${hash}.next`)
}

/** Gives a file a name that is free, or whose lease is over; tells whether it has it. */
export async function take(name: string, candidate: Candidate): Promise<boolean> {
  const found = await look(name)
  if (found === undefined) return unless('EEXIST', link(candidate.path, name))
  if (!isOver(found, candidate.clock)) return false
  const succession = successionOf(name, found.text)
  if (!(await take(succession, candidate))) return false
  // Renewed meanwhile, or succeeded by somebody who has come before.
  const now = await look(name)
  if (now?.text !== found.text || !isOver(now, candidate.clock)) {
    await drop(succession)
    return false
  }
  // One step for both names; another one may have done it for a process that was paused here.
  await unless('ENOENT', rename(succession, name))
  return (await look(name))?.text === candidate.text
}

/** Takes a name away, if there is still one. */
export async function drop(path: string): Promise<void> {
  await unless('ENOENT', unlink(path))
}

/** Whether it succeeds, where one way to fail is an answer. */
export async function unless(code: string, work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return true
  } catch (error) {
    if (isCode(error, code)) return false
    throw error
  }
}

function isCode(error: unknown, code: string): boolean {
  return Object(error).code === code
}
