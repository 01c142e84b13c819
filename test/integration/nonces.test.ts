import type { NonceKey } from 'evertoken/dpop'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTestNonces, nonceKey } from '../support/nonces.ts'

const key = nonceKey()

describe('D3 what a server said last', () => {
  it('N12.08 is the nonce of the next proof, whether an answer brought it or a demand', () => {
    const { nonces } = createTestNonces()
    expect(nonces.current(key)).toBeUndefined()
    nonces.learn(key, 'n-1', true)
    expect(nonces.current(key)).toBe('n-1')
    nonces.learn(key, 'n-2', false)
    expect([nonces.current(key), nonces.known(key)]).toEqual(['n-2', 'n-2'])
    nonces.learn(key, undefined, true)
    expect(nonces.current(key)).toBe('n-2')
  })

  it('F9.01 is not undone by answers that are up to eight rotations late', () => {
    const { nonces } = createTestNonces()
    for (let n = 0; n <= 8; n++) nonces.learn(key, `n-${n}`, false)
    for (let n = 0; n < 8; n++) {
      nonces.learn(key, `n-${n}`, false)
      expect(nonces.current(key)).toBe('n-8')
    }
  })

  it('F9.01 is undone by a demand, and by that alone', () => {
    const { nonces } = createTestNonces()
    for (const nonce of ['a', 'b']) nonces.learn(key, nonce, false)
    nonces.learn(key, 'a', true)
    expect(nonces.current(key)).toBe('a')
    nonces.learn(key, 'b', false)
    expect(nonces.current(key)).toBe('a')
  })

  it('N12.09 stays with its role, origin and key, whatever these are', () => {
    const piece = fc.constantFrom('a', 'b', '"', ',', '[', ']', '\\', ' ', '|', ':', 'https://', '\ud800')
    const part = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join(''))
    const role = fc.constantFrom<NonceKey['role'][]>('authorization_server', 'resource_server')
    const keys = fc.uniqueArray(fc.record({ role, origin: part, jkt: part }), {
      minLength: 2,
      maxLength: 20,
      comparator: (a, b) => a.role === b.role && a.origin === b.origin && a.jkt === b.jkt,
    })
    fc.assert(
      fc.property(keys, (all) => {
        const { nonces } = createTestNonces()
        all.forEach((one, n) => {
          expect(nonces.current(one)).toBeUndefined()
          nonces.learn(one, `n-${n}`, n % 2 === 0)
        })
        expect(all.map((one) => nonces.current(one))).toEqual(all.map((_, n) => `n-${n}`))
      }),
      { numRuns: 1000 },
    )
  })

  it('N12.11 is kept for 1000 servers out of 100,000, those that were used last', () => {
    const { nonces } = createTestNonces()
    const origins = Array.from({ length: 100_000 }, (_, n) => nonceKey({ origin: `https://${n}.example` }))
    for (const one of origins) {
      nonces.learn(one, 'n', false)
      nonces.current(origins[0] ?? key)
    }
    const known = origins.filter((one) => nonces.known(one) !== undefined)
    expect(known).toEqual([origins[0], ...origins.slice(-999)])
  })
})

const bad: readonly { readonly name: string; readonly value: string }[] = [
  { name: 'empty', value: '' },
  { name: 'a space', value: 'a b' },
  { name: 'two header lines', value: 'a, b' },
  { name: 'a quotation mark', value: 'a"b' },
  { name: 'a backslash', value: 'a\\b' },
  { name: 'a line break', value: 'a\r\nb' },
  { name: 'a line break at the end', value: 'a\n' },
  { name: 'a null byte', value: 'a\0' },
  { name: 'a delete character', value: 'a\x7f' },
  { name: 'a letter outside ASCII', value: 'ä' },
  { name: '1025 characters', value: 'a'.repeat(1025) },
  { name: '8 kB', value: 'a'.repeat(8192) },
]

describe('N12.11 what is no nonce', () => {
  it.each(bad)('N12.11 is ignored and told when a server sends it: $name', ({ value }) => {
    const { nonces, recorder } = createTestNonces()
    nonces.learn(key, value, true)
    expect(nonces.current(key)).toBeUndefined()
    nonces.learn(key, 'good', false)
    nonces.learn(key, value, true)
    expect(nonces.current(key)).toBe('good')
    const event = { name: 'nonce_ignored', role: 'resource_server', origin: 'https://api.example' }
    expect(recorder.events).toEqual([event, event])
  })

  it.each(bad)('N12.11 is ignored and told when a store has it: $name', async ({ value }) => {
    const { nonces, recorder } = createTestNonces({ get: () => value, set: () => {} })
    expect(await Promise.all([nonces.current(key), nonces.current(key)])).toEqual([undefined, undefined])
    expect(recorder.events).toEqual([{ name: 'nonce_ignored', role: 'resource_server', origin: 'https://api.example' }])
  })

  const good = [
    { name: 'every character that is allowed', value: `!${range(0x23, 0x5b)}${range(0x5d, 0x7e)}` },
    { name: 'a comma without a space', value: 'a,b' },
    { name: 'one character', value: 'a' },
    { name: '1024 characters', value: 'a'.repeat(1024) },
  ]
  it.each(good)('differs from what is one: $name', ({ value }) => {
    const { nonces, recorder } = createTestNonces()
    nonces.learn(key, value, false)
    expect(nonces.current(key)).toBe(value)
    expect(recorder.events).toEqual([])
  })
})

function range(from: number, to: number): string {
  return String.fromCharCode(...Array.from({ length: to - from + 1 }, (_, n) => from + n))
}
