import type { Awaitable, Clock, TokenStore } from 'evertoken'
import { expect, it } from 'vitest'
import { ODD_KEYS, ODD_VALUES } from './odd-texts.ts'

/** A store, empty, and the time that it goes by. */
export interface StoreUnderTest {
  readonly store: TokenStore
  /** What instants are reckoned by; of a store that lives elsewhere, this machine's clock. */
  readonly clock: Pick<Clock, 'now'>
  /** Moves that clock on; without it time passes by itself. */
  readonly advance?: ((ms: number) => Promise<void>) | undefined
  /** Ends what the store needs. */
  readonly close?: (() => Awaitable<void>) | undefined
}

/** For how long entries are kept that no test waits for. */
const LONG_MS = 3_600_000

/**
 * What everybody may expect of a {@link TokenStore}, as tests; to be called inside `describe`. The factory is asked for
 * every test.
 */
export function itKeepsTheStoreContract(create: () => Awaitable<StoreUnderTest>): void {
  const keeps = (name: string, body: (subject: StoreUnderTest & { readonly later: number }) => Promise<void>): void =>
    it(name, async () => {
      const subject = await create()
      try {
        await body({ ...subject, later: subject.clock.now() + LONG_MS })
      } finally {
        await subject.close?.()
      }
    })

  keeps('gives undefined for what was never set', async ({ store }) => {
    expect(await store.get('nothing')).toBeUndefined()
  })

  keeps('gives what was set, as often as it is asked', async ({ store, later }) => {
    await store.set('key', 'value', later)
    expect([await store.get('key'), await store.get('key')]).toEqual(['value', 'value'])
  })

  keeps('takes a signal that does not abort', async ({ store, later }) => {
    await store.set('key', 'value', later)
    expect(await store.get('key', { signal: new AbortController().signal })).toBe('value')
  })

  keeps('gives the last value that was set', async ({ store, later }) => {
    for (const value of ['one', 'two', 'three']) await store.set('key', value, later)
    expect(await store.get('key')).toBe('three')
  })

  keeps('forgets what is deleted, that alone, and for good only until it is set again', async ({ store, later }) => {
    await store.set('key', 'value', later)
    await store.set('other', 'kept', later)
    await store.delete('key')
    expect([await store.get('key'), await store.get('other')]).toEqual([undefined, 'kept'])
    await store.set('key', 'again', later)
    expect(await store.get('key')).toBe('again')
  })

  keeps('deletes what is not there without a word', async ({ store }) => {
    await store.delete('nothing')
    expect(await store.get('nothing')).toBeUndefined()
  })

  keeps('does not give what had expired when it was set', async ({ store, clock }) => {
    await store.set('past', 'value', clock.now() - 1000)
    await store.set('zero', 'value', 0)
    expect([await store.get('past'), await store.get('zero')]).toEqual([undefined, undefined])
  })

  keeps('forgets an older value when the newer one had expired when it was set', async ({ store, clock, later }) => {
    await store.set('key', 'older', later)
    await store.set('key', 'newer', clock.now() - 1000)
    expect(await store.get('key')).toBeUndefined()
  })

  keeps('gives a value until it expires, and not after', async ({ store, clock, later, advance }) => {
    const expiresAt = clock.now() + 200
    await store.set('key', 'value', expiresAt)
    await store.set('other', 'kept', later)
    const before = await store.get('key')
    if (clock.now() < expiresAt - 100) expect(before).toBe('value')
    await advance?.(expiresAt - clock.now())
    await expect.poll(() => store.get('key'), { interval: 10, timeout: 5000 }).toBeUndefined()
    expect(await store.get('other')).toBe('kept')
  })

  keeps('lets the last expiry count, a longer one', async ({ store, clock, later, advance }) => {
    const expiresAt = clock.now() + 100
    await store.set('key', 'value', expiresAt)
    await store.set('key', 'value', later)
    await store.set('mark', 'value', expiresAt)
    await advance?.(expiresAt - clock.now())
    await expect.poll(() => store.get('mark'), { interval: 10, timeout: 5000 }).toBeUndefined()
    expect(await store.get('key')).toBe('value')
  })

  keeps('takes instants between two milliseconds', async ({ store, later }) => {
    await store.set('key', 'value', later + 0.25)
    expect(await store.get('key')).toBe('value')
  })

  for (const { name, value } of ODD_VALUES) {
    keeps(`gives ${name} back as it was`, async ({ store, later }) => {
      await store.set('key', value, later)
      expect(await store.get('key')).toBe(value)
    })
  }

  keeps('keeps odd keys apart', async ({ store, later }) => {
    for (const [at, key] of ODD_KEYS.entries()) await store.set(key, `value-${at}`, later)
    const found = await Promise.all(ODD_KEYS.map((key) => store.get(key)))
    expect(found).toEqual(ODD_KEYS.map((_, at) => `value-${at}`))
    await store.delete('a*')
    expect([await store.get('a*'), await store.get('a:b')]).toEqual([undefined, 'value-4'])
  })

  keeps('keeps a hundred keys that are set at once', async ({ store, later }) => {
    const keys = Array.from({ length: 100 }, (_, at) => `key-${at}`)
    await Promise.all(keys.map((key) => store.set(key, `of ${key}`, later)))
    expect(await Promise.all(keys.map((key) => store.get(key)))).toEqual(keys.map((key) => `of ${key}`))
  })

  keeps('has one whole value of fifty that are set at once under one key', async ({ store, later }) => {
    const values = Array.from({ length: 50 }, (_, at) => `${at}-`.repeat(500))
    await Promise.all(values.map((value) => store.set('key', value, later)))
    expect(values).toContain(await store.get('key'))
  })
}
