import { memoryStore, prefixedStore, type TokenStore } from 'evertoken'
import { describe, expect, it } from 'vitest'
import { createTestClock } from '../support/test-clock.ts'
import { itKeepsTheStoreContract, type StoreUnderTest } from '../support/token-store-contract.ts'

/** A store around one in memory, on a clock that is moved by hand. */
function inMemory(wrap: (store: TokenStore) => TokenStore = (store) => store): StoreUnderTest {
  const clock = createTestClock()
  return { store: wrap(memoryStore({ clock })), clock, advance: clock.advance }
}

describe('C1 a store in memory', () => {
  itKeepsTheStoreContract(() => inMemory())
})

describe('C4 a prefixed store', () => {
  itKeepsTheStoreContract(() => inMemory((store) => prefixedStore(store, 'app:')))

  it('keeps its entries under the prefix, and sees no others', async () => {
    const store = memoryStore()
    const prefixed = prefixedStore(store, 'app:')
    const later = Date.now() + 1000
    await store.set('key', 'of nobody', later)
    await prefixed.set('key', 'of app', later)
    await prefixedStore(store, 'other:').set('key', 'of other', later)
    expect([await store.get('app:key'), await prefixed.get('key'), await store.get('key')]).toEqual([
      'of app',
      'of app',
      'of nobody',
    ])
    await prefixed.delete('key')
    expect([await prefixed.get('key'), await store.get('other:key')]).toEqual([undefined, 'of other'])
  })

  it('hands the signal on', async () => {
    const signals: unknown[] = []
    const store: TokenStore = {
      get: (_, options) => void signals.push(options?.signal),
      set: () => {},
      delete: () => {},
    }
    const { signal } = new AbortController()
    await prefixedStore(store, 'app:').get('key', { signal })
    expect(signals).toEqual([signal])
  })

  const mistakes: readonly { readonly name: string; readonly make: () => unknown; readonly says: string }[] = [
    { name: 'no store', make: () => prefixedStore(undefined as never, 'a'), says: 'store to have a method "get"' },
    {
      name: 'a store without delete',
      make: () => prefixedStore({ get: () => undefined, set: () => {} } as never, 'a'),
      says: 'store to have a method "delete"',
    },
    { name: 'an empty prefix', make: () => prefixedStore(memoryStore(), ''), says: 'prefix to be a text' },
    { name: 'no prefix', make: () => prefixedStore(memoryStore(), 7 as never), says: 'got a number' },
  ]
  it.each(mistakes)('refuses $name at creation', ({ make, says }) => {
    expect(make).toThrow(expect.objectContaining({ code: 'option_invalid', message: expect.stringContaining(says) }))
  })
})
