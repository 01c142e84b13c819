import { createPublicKey, sign, verify } from 'node:crypto'
import { isEvertokenError } from 'evertoken'
import { rawSignatureFromDer } from 'evertoken/keys'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTestKey } from '../support/keys.ts'

const WIDTHS = [
  { alg: 'ES256', width: 32 },
  { alg: 'ES384', width: 48 },
  { alg: 'ES512', width: 66 },
] as const

/** DER of a tag, with a length in as few bytes as may be. */
function der(tag: number, content: readonly number[]): number[] {
  return [tag, ...(content.length < 0x80 ? [] : [0x81]), content.length, ...content]
}
const sequence = (...integers: readonly (readonly number[])[]): Uint8Array =>
  Uint8Array.from(
    der(
      0x30,
      integers.flatMap((content) => der(2, content)),
    ),
  )
const filled = (length: number, byte: number): number[] => new Array<number>(length).fill(byte)
const bytes = (...list: readonly number[]): Uint8Array => Uint8Array.from(list)

/** What a number is in DER: big-endian, with a zero before a set top bit. */
function integerOf(value: bigint): number[] {
  const hex = value.toString(16)
  const digits = [...Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')]
  return (digits[0] ?? 0) >= 0x80 ? [0, ...digits] : digits
}

describe('ECDSA signatures in DER become raw ones', () => {
  it.each(WIDTHS)('$alg: what node:crypto signs in DER verifies as R || S', async ({ alg, width }) => {
    const { keyObject } = await createTestKey(alg, 'k')
    const publicKey = createPublicKey(keyObject)
    const hash = `sha${alg.slice(2)}`
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (data) => {
        const raw = rawSignatureFromDer(sign(hash, data, { key: keyObject, dsaEncoding: 'der' }), alg)
        expect(raw).toHaveLength(2 * width)
        expect(verify(hash, data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, raw)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it.each(WIDTHS)('$alg: every pair of numbers keeps its value, however short', ({ alg, width }) => {
    const number = fc
      .integer({ min: 1, max: 8 * width })
      .chain((bits) => fc.bigInt({ min: 2n ** BigInt(bits - 1), max: 2n ** BigInt(bits) - 1n }))
    fc.assert(
      fc.property(number, number, (r, s) => {
        const hex = Buffer.from(rawSignatureFromDer(sequence(integerOf(r), integerOf(s)), alg)).toString('hex')
        expect(BigInt(`0x${hex.slice(0, 2 * width)}`)).toBe(r)
        expect(BigInt(`0x${hex.slice(2 * width)}`)).toBe(s)
      }),
    )
  })

  it.each<{ name: string; input: Uint8Array; alg?: string }>([
    { name: 'nothing', input: bytes() },
    { name: 'a tag alone', input: bytes(0x30) },
    { name: 'an empty sequence', input: bytes(0x30, 0) },
    { name: 'one integer', input: sequence([1]) },
    { name: 'three integers', input: sequence([1], [1], [1]) },
    { name: 'a byte after the sequence', input: bytes(...sequence([1], [1]), 0) },
    { name: 'a length beyond the end', input: bytes(0x30, 7, 2, 1, 1, 2, 1, 1) },
    { name: 'an integer beyond the sequence', input: bytes(0x30, 6, 2, 1, 1, 2, 2, 1) },
    { name: 'a length in more bytes than it takes', input: bytes(0x30, 0x81, 6, 2, 1, 1, 2, 1, 1) },
    { name: 'an indefinite length', input: bytes(0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0) },
    { name: 'a length of two bytes', input: bytes(0x30, 0x82, 0, 6, 2, 1, 1, 2, 1, 1) },
    { name: 'another tag outside', input: bytes(0x31, 6, 2, 1, 1, 2, 1, 1) },
    { name: 'another tag inside', input: bytes(0x30, 6, 2, 1, 1, 4, 1, 1) },
    { name: 'a negative integer', input: sequence([0x80, 1], [1]) },
    { name: 'zero', input: sequence([1], [0]) },
    { name: 'an integer without bytes', input: sequence([], [1]) },
    { name: 'a zero too many', input: sequence([0, 1], [1]) },
    { name: 'an integer that is too long', input: sequence(filled(33, 1), [1]) },
    { name: 'an integer that is too long behind its zero', input: sequence([1], [0, ...filled(33, 0xff)]) },
    { name: 'a raw signature', input: Uint8Array.from(filled(64, 7)) },
    { name: 'no bytes', input: 'MAYCAQECAQE=' as unknown as Uint8Array },
    { name: 'an algorithm without curve', input: sequence([1], [1]), alg: 'RS256' },
    { name: 'an algorithm out of the prototype', input: sequence([1], [1]), alg: 'constructor' },
  ])('refuses $name with a typed error', ({ input, alg = 'ES256' }) => {
    let error: unknown
    try {
      rawSignatureFromDer(input, alg)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'signature_invalid' })
  })

  it('throws nothing else, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 160 }), fc.constantFrom('ES256', 'ES384', 'ES512'), (input, alg) => {
        try {
          rawSignatureFromDer(input, alg)
        } catch (error) {
          expect(isEvertokenError(error) && error.code).toBe('signature_invalid')
        }
      }),
      { numRuns: 500 },
    )
  })
})
