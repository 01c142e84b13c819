import { AsyncLocalStorage } from 'node:async_hooks'
import { memoryStore } from 'evertoken'
import { type NonceKey, type NonceStore, sharedNonceStore } from 'evertoken/dpop'
import { describe, expect, it } from 'vitest'
import { createTestNonces, nonceKey } from '../support/nonces.ts'
import { settle } from '../support/test-clock.ts'

const key = nonceKey()

describe('D8 a nonce store behind the memory', () => {
  it('is told of every nonce that is new, and gives it to the next process', async () => {
    const store = createStore()
    const ours = createTestNonces(store)
    const theirs = createTestNonces(store)
    for (const nonce of ['a', 'a', 'b', 'a']) ours.nonces.learn(key, nonce, false)
    await settle()
    ours.nonces.learn(key, 'b', false)
    await settle()
    expect(store.writes).toEqual(['b'])
    expect(await theirs.nonces.current(key)).toBe('b')
    expect(theirs.nonces.current(key)).toBe('b')
    expect([store.writes, store.reads.length]).toEqual([['b'], 1])
  })

  it('is asked once for everybody who waits, per key', async () => {
    const { promise, resolve } = held()
    const store = createStore(() => promise)
    const { nonces } = createTestNonces(store)
    const other = nonceKey({ role: 'authorization_server' })
    const waiting = [...Array.from({ length: 50 }, () => nonces.current(key)), nonces.current(other)]
    await settle()
    expect(store.reads).toEqual([key, other])
    resolve('shared')
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['shared']))
  })

  it('is not asked again for five seconds when it had none', async () => {
    const store = createStore(() => undefined)
    const { nonces, clock, recorder } = createTestNonces(store)
    await nonces.current(key)
    await clock.advance(4999)
    expect(nonces.current(key)).toBeUndefined()
    await clock.advance(1)
    expect(await nonces.current(key)).toBeUndefined()
    expect(store.reads).toHaveLength(2)
    expect(recorder.events).toEqual([])
  })

  it('gives way to what the server said while it was asked', async () => {
    const { promise, resolve } = held()
    const { nonces } = createTestNonces(createStore(() => promise))
    const waiting = nonces.current(key)
    nonces.learn(key, 'newer', false)
    expect(nonces.current(key)).toBe('newer')
    resolve('older')
    expect([await waiting, nonces.current(key)]).toEqual(['newer', 'newer'])
  })

  const faults: readonly {
    readonly name: string
    readonly get: () => unknown
    readonly event?: string
  }[] = [
    {
      name: 'throws',
      get: () => {
        throw new TypeError('secret')
      },
      event: 'store_failed TypeError',
    },
    { name: 'rejects', get: () => Promise.reject(new Error('secret')), event: 'store_failed Error' },
    { name: 'rejects with nothing', get: () => Promise.reject(), event: 'store_failed thrown' },
    { name: 'says null', get: () => null },
    { name: 'gives a number', get: () => 7, event: 'nonce_ignored undefined' },
    { name: 'gives an object', get: () => ({ nonce: 'x' }), event: 'nonce_ignored undefined' },
  ]
  it.each(faults)('counts as empty when it $name', async ({ get, event }) => {
    const { nonces, recorder, clock } = createTestNonces(createStore(get))
    expect(await nonces.current(key)).toBeUndefined()
    expect(nonces.current(key)).toBeUndefined()
    const told = recorder.events.map((each) => `${each.name} ${'error' in each ? each.error : undefined}`)
    expect(told).toEqual(event === undefined ? [] : [event])
    expect(clock.pending).toBe(0)
  })

  it('counts as empty when it does not answer within 250 ms, and its late answer is nobody’s', async () => {
    const { promise, resolve } = held()
    const { nonces, recorder, clock } = createTestNonces(createStore(() => promise))
    const waiting = nonces.current(key)
    await settle()
    await clock.advance(250)
    expect(await waiting).toBeUndefined()
    expect(recorder.events).toEqual([{ name: 'store_failed', operation: 'get', error: 'store_timeout' }])
    resolve('late')
    await settle()
    expect(nonces.known(key)).toBeUndefined()
    expect(clock.pending).toBe(0)
  })

  it('holds nobody up when it cannot be written, and is written the last nonce when it can', async () => {
    const writes: string[] = []
    const turns = [() => Promise.reject(new Error('down')), () => new Promise<void>(() => {}), () => {}]
    const set = (_: NonceKey, nonce: string): void | Promise<void> => {
      writes.push(nonce)
      return turns[writes.length - 1]?.()
    }
    const { nonces, recorder, clock } = createTestNonces({ get: () => undefined, set })
    nonces.learn(key, 'refused', false)
    await settle()
    nonces.learn(key, 'hangs', false)
    await settle()
    for (let n = 0; n < 100; n++) nonces.learn(key, `n-${n}`, false)
    expect(nonces.current(key)).toBe('n-99')
    await clock.advance(250)
    expect(writes).toEqual(['refused', 'hangs', 'n-99'])
    expect(recorder.events.map((event) => 'error' in event && event.error)).toEqual(['Error', 'store_timeout'])
    expect(clock.pending).toBe(0)
  })

  it('N12.11 that hangs holds at most 1000 writes of 100,000 servers', async () => {
    const { nonces, clock } = createTestNonces({ get: () => undefined, set: () => new Promise(() => {}) })
    for (let n = 0; n < 100_000; n++) nonces.learn(nonceKey({ origin: `https://${n}.example` }), 'n', false)
    await settle()
    expect(clock.pending).toBe(1000)
    await clock.advance(250)
    expect(clock.pending).toBe(0)
  })

  it('is asked and told outside the context of the request that came first', async () => {
    const context = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const see = (): undefined => void seen.push(context.getStore())
    const { nonces } = createTestNonces({ get: see, set: see })
    await context.run('a user', async () => {
      await nonces.current(key)
      nonces.learn(key, 'n', false)
      await settle()
    })
    expect(seen).toEqual([undefined, undefined])
  })
})

describe('D8 a store of tokens that keeps nonces', () => {
  it('gives what another process set, for five minutes', async () => {
    const { clock } = createTestNonces()
    const store = memoryStore({ clock })
    await sharedNonceStore(store, { clock }).set(key, 'n')
    const shared = sharedNonceStore(store)
    await clock.advance(299_999)
    expect(await shared.get(key)).toBe('n')
    await clock.advance(1)
    expect(await shared.get(key)).toBeUndefined()
  })

  it('keeps them for as long as it is told', async () => {
    const { clock } = createTestNonces()
    const shared = sharedNonceStore(memoryStore({ clock }), { clock, lifetimeMs: 10 })
    await shared.set(key, 'n')
    await clock.advance(9)
    expect(await shared.get(key)).toBe('n')
    await clock.advance(1)
    expect(await shared.get(key)).toBeUndefined()
  })

  it('N12.09 names entries by a hash of role, origin and key that shows none of them', async () => {
    const names: string[] = []
    const set = (name: string): void => void names.push(name)
    const store = { get: () => undefined, set, delete: () => {} }
    const others = [
      nonceKey({ role: 'authorization_server' }),
      nonceKey({ origin: 'https://api.example:8443' }),
      nonceKey({ jkt: 'another' }),
    ]
    for (const one of [key, ...others, key]) await sharedNonceStore(store).set(one, 'n')
    await sharedNonceStore(store, { prefix: 'ours:' }).set(key, 'n')
    expect(new Set(names.slice(0, 5)).size).toBe(4)
    expect(names[4]).toBe(names[0])
    for (const name of names.slice(0, 5)) expect(name).toMatch(/^dpop-nonce:[\w-]{43}$/)
    expect(names[5]).toBe(names[0]?.replace('dpop-nonce:', 'ours:'))
  })

  const store = memoryStore()
  const mistakes: readonly { readonly name: string; readonly make: () => unknown; readonly code?: string }[] = [
    { name: 'no store', make: () => sharedNonceStore(undefined as never) },
    { name: 'a store that cannot be written', make: () => sharedNonceStore({ get: () => undefined } as never) },
    { name: 'a store that cannot be read', make: () => sharedNonceStore({ set: () => {} } as never) },
    { name: 'options that are text', make: () => sharedNonceStore(store, 'x' as never) },
    { name: 'options that are null', make: () => sharedNonceStore(store, null as never) },
    {
      name: 'an option that does not exist',
      make: () => sharedNonceStore(store, { ttl: 5 } as never),
      code: 'option_unknown',
    },
    { name: 'a lifetime of nothing', make: () => sharedNonceStore(store, { lifetimeMs: 0 }) },
    { name: 'a lifetime below nothing', make: () => sharedNonceStore(store, { lifetimeMs: -1 }) },
    { name: 'a lifetime that is no number', make: () => sharedNonceStore(store, { lifetimeMs: Number.NaN }) },
    { name: 'a lifetime for ever', make: () => sharedNonceStore(store, { lifetimeMs: Number.POSITIVE_INFINITY }) },
    { name: 'a lifetime in words', make: () => sharedNonceStore(store, { lifetimeMs: '5m' as never }) },
    { name: 'a prefix that is no text', make: () => sharedNonceStore(store, { prefix: 7 as never }) },
    { name: 'a clock that is none', make: () => sharedNonceStore(store, { clock: {} as never }) },
  ]
  it.each(mistakes)('is refused at creation with $name', ({ make, code = 'option_invalid' }) => {
    expect(make).toThrow(expect.objectContaining({ name: 'ConfigurationError', code }))
  })
})

interface SeenStore extends NonceStore {
  readonly reads: NonceKey[]
  readonly writes: string[]
}

/** Keeps one nonce, or gives what it is told to give, and remembers what it was asked. */
function createStore(get?: () => unknown): SeenStore {
  const reads: NonceKey[] = []
  const writes: string[] = []
  return {
    reads,
    writes,
    get(asked) {
      reads.push(asked)
      return (get === undefined ? writes.at(-1) : get()) as string | undefined
    },
    set: (_, nonce) => void writes.push(nonce),
  }
}

/** A promise that is kept when the test says so. */
function held(): { readonly promise: Promise<string>; readonly resolve: (value: string) => void } {
  let resolve = (_: string): void => {}
  const promise = new Promise<string>((keep) => {
    resolve = keep
  })
  return { promise, resolve }
}
