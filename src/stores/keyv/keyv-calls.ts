import { AsyncLocalStorage } from 'node:async_hooks'
import { assertMethods, optionInvalid, StoreError } from '../../token/index.ts'
import { type Clock, delay, describe } from '../../util/index.ts'

/** What is needed of a Keyv of version 5.5 or later that the user has made, and disconnects. */
export interface KeyvInstance extends KeyvEvents {
  getRaw(key: string): Promise<unknown>
  set(key: string, value: string, ttl?: number): Promise<boolean>
  delete(key: string): Promise<boolean>
}

/** How a Keyv tells of errors. */
export interface KeyvEvents {
  on(event: 'error', listener: (error: unknown) => void): unknown
  off(event: 'error', listener: (error: unknown) => void): unknown
}

/**
 * A Keyv whose methods fail where the store behind it has failed. A file that another process writes to is tried again where the caller says so, by something that throws
 * when it must not be.
 */
export interface KeyvCalls {
  /** What lies under the key, in Keyv's envelope; `UNREADABLE` where its serializer makes nothing of it. */
  read(key: string, assertWanted?: () => void): Promise<unknown>
  write(key: string, value: string, options: KeyvWrite): Promise<void>
  remove(key: string, assertWanted?: () => void): Promise<void>
}

/** How a value is written. */
export interface KeyvWrite {
  readonly ttlMs: number
  readonly assertWanted?: () => void
}

/** Stands for an entry that is there and is not what a serializer has written. */
export const UNREADABLE: unique symbol = Symbol('unreadable')

/** Timers, and memcached's seconds, take anything longer for another time. 24.8 days. */
export const MAX_TTL_MS: number = 2 ** 31 - 1

/** What became known of one call while it ran. */
interface Call {
  failure?: string
}

/** The call during which an error is told: an error has a listener, and only some of them a caller. */
const calls = /* @__PURE__ */ new AsyncLocalStorage<Call>()

/**
 * The calls on one Keyv. What fails is a StoreError that tells the kind of failure alone: errors of adapters carry the
 * values that were sent.
 *
 * @throws ConfigurationError with code `option_invalid`, when it is no Keyv, or one that keeps its errors to itself.
 */
export function callsOf(keyv: KeyvInstance, subject: string, clock: Clock): KeyvCalls {
  assertMethods(subject, { option: 'keyv', value: keyv }, ['getRaw', 'set', 'delete', 'on', 'off'])
  if ('opts' in keyv && Object(keyv.opts).emitErrors === false) {
    throw optionInvalid(subject, 'a Keyv that emits its errors, got one with emitErrors: false')
  }
  // Once for each Keyv, however many stores are made of it.
  keyv.off('error', hear)
  keyv.on('error', hear)
  return {
    async read(key, assertWanted) {
      const { result, failure } = await patiently(() => keyv.getRaw(key), { clock, assertWanted })
      if (failure === undefined || (result !== undefined && result !== null)) return result
      // All that JSON says. The serializers of others fail in ways of their own, which are no different from an outage.
      if (failure === 'SyntaxError') return UNREADABLE
      throw unavailable('get', failure)
    },
    async write(key, value, { ttlMs, assertWanted }) {
      const { result, failure } = await patiently(() => keyv.set(key, value, ttlMs), { clock, assertWanted })
      if (failure !== undefined || result === false) throw unavailable('set', failure ?? 'false')
    },
    async remove(key, assertWanted) {
      const { failure } = await patiently(() => keyv.delete(key), { clock, assertWanted })
      if (failure !== undefined) throw unavailable('delete', failure)
    },
  }
}

/** Keyv and its adapters catch what a store throws, tell their listeners, and give what looks like an empty store. */
function hear(error: unknown): void {
  const call = calls.getStore()
  if (call !== undefined) call.failure ??= failureOf(error)
}

interface Answer<T> extends Call {
  readonly result?: T
}

/** SQLite gives its file to one writer at a time, and to the others nothing: what it says no more than "busy" to has not taken place. */
const BUSY = /^SQLITE_BUSY/
const MAX_TRIES = 20
const PAUSE_MS = 20

async function patiently<T>(
  work: () => Promise<T>,
  { clock, assertWanted }: { readonly clock: Clock; readonly assertWanted: (() => void) | undefined },
): Promise<Answer<T>> {
  for (let tries = 1; ; tries++) {
    const answer = await ask(work)
    if (assertWanted === undefined || tries === MAX_TRIES || !BUSY.test(answer.failure ?? '')) return answer
    await delay(clock, PAUSE_MS)
    assertWanted()
  }
}

async function ask<T>(work: () => Promise<T>): Promise<Answer<T>> {
  const call: Call = {}
  try {
    const result = await calls.run(call, work)
    return { ...call, result }
  } catch (error) {
    return { failure: failureOf(error), ...call }
  }
}

function unavailable(method: string, failure: string): StoreError {
  return new StoreError(`keyv: expected an answer to ${method}, got ${failure}`, { code: 'store_unavailable' })
}

/** The code of an error (`ECONNREFUSED`, `SQLITE_BUSY`, `57P01`), or its class. */
function failureOf(error: unknown): string {
  if (!(error instanceof Error)) return describe(error)
  const code = 'code' in error ? error.code : undefined
  return [code, error.name].find(isWord) ?? 'an error'
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9_]{2,40}$/.test(value)
}
