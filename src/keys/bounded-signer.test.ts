import { createTokenManager, privateKeyJwt, type Signer } from 'evertoken'
import { boundedSigner, signerFrom } from 'evertoken/keys'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../../test/support/fixtures.ts'
import { testKey } from '../../test/support/keys.ts'

const { pem } = await testKey('ES256')
const local = await signerFrom(pem)
const input = new Uint8Array([1])

/** A signer that answers when it is told to. */
function remote(): {
  readonly signer: Signer
  readonly calls: ((signature: Uint8Array) => void)[]
  readonly signals: AbortSignal[]
} {
  const calls: ((signature: Uint8Array) => void)[] = []
  const signals: AbortSignal[] = []
  const signer: Signer = {
    alg: 'ES256',
    publicJwk: local.publicJwk,
    sign: (_input, { signal } = {}) => {
      if (signal !== undefined) signals.push(signal)
      return new Promise((resolve) => calls.push(resolve))
    },
  }
  return { signer, calls, signals }
}

describe('a bounded signer', () => {
  test('F9.10 a slow signer: a typed error at its deadline, and its signal aborts', async ({ clock }) => {
    const { signer, signals } = remote()
    const pending = rejection(Promise.resolve(boundedSigner(signer, { deadlineMs: 1000, clock }).sign(input)))
    await clock.advance(999)
    expect(signals[0]?.aborted).toBe(false)
    await clock.advance(1)
    expect(await pending).toMatchObject({ name: 'TransportError', code: 'signer_timeout', retryable: true })
    expect(signals[0]?.aborted).toBe(true)
    expect(clock.pending).toBe(0)
  })

  const failing: readonly { readonly name: string; readonly sign: Signer['sign'] }[] = [
    { name: 'rejects', sign: () => Promise.reject(new Error('throttled')) },
    {
      name: 'throws',
      sign: () => {
        throw new Error('throttled')
      },
    },
  ]
  for (const { name, sign } of failing) {
    test(`F9.10 a signer that ${name}: a typed error with its cause`, async ({ clock }) => {
      const signer = boundedSigner({ alg: 'ES256', publicJwk: local.publicJwk, sign }, { clock, maxConcurrent: 1 })
      for (let call = 0; call < 3; call++) {
        const error = await rejection((async () => signer.sign(input))())
        expect(error).toMatchObject({ name: 'TransportError', code: 'signer_failed', retryable: true })
        expect(error.cause).toMatchObject({ message: 'throttled' })
      }
    })
  }

  test('F9.10 so many at once, the others in order', async ({ clock }) => {
    const { signer, calls } = remote()
    const bounded = boundedSigner(signer, { maxConcurrent: 2, clock })
    const done: number[] = []
    const all = [0, 1, 2, 3].map(async (n) => {
      await bounded.sign(input)
      done.push(n)
    })
    expect(calls).toHaveLength(2)
    for (const expected of [3, 4, 4, 4]) {
      calls[done.length]?.(input)
      await expect.poll(() => calls.length).toBe(expected)
      await expect.poll(() => done.length).toBeGreaterThan(0)
    }
    for (const answer of calls) answer(input)
    await Promise.all(all)
    expect(done).toEqual([0, 1, 2, 3])
  })

  test('F9.10 a caller who leaves the queue takes nobody’s turn, and a hanging signer gives its turn back', async ({
    clock,
  }) => {
    const { signer, calls } = remote()
    const bounded = boundedSigner(signer, { maxConcurrent: 1, deadlineMs: 1000, clock })
    const hanging = rejection(Promise.resolve(bounded.sign(input)))
    const leaving = new AbortController()
    const left = rejection(Promise.resolve(bounded.sign(input, { signal: leaving.signal })))
    leaving.abort(new Error('gone'))
    expect((await left).message).toBe('gone')
    await clock.advance(500)
    const waiting = bounded.sign(input)
    await clock.advance(500)
    expect((await hanging).code).toBe('signer_timeout')
    await expect.poll(() => calls.length).toBe(2)
    calls[1]?.(input)
    expect(await waiting).toBe(input)
  })

  test('the caller’s abort leaves as it is', async ({ clock }) => {
    const { signer, signals } = remote()
    const caller = new AbortController()
    const pending = rejection(Promise.resolve(boundedSigner(signer, { clock }).sign(input, { signal: caller.signal })))
    caller.abort(new Error('enough'))
    expect((await pending).message).toBe('enough')
    expect(signals[0]?.aborted).toBe(true)
  })

  test('a signer that answers at once costs no timer and no promise', ({ clock }) => {
    const signature = new Uint8Array(64)
    const signer: Signer = { alg: 'ES256', publicJwk: local.publicJwk, sign: () => signature }
    const bounded = boundedSigner(signer, { clock, maxConcurrent: 1 })
    for (let call = 0; call < 3; call++) expect(bounded.sign(input)).toBe(signature)
    expect(clock.pending).toBe(0)
    expect(boundedSigner(bounded)).toBe(bounded)
  })
})

describe('a remote signer of a client', () => {
  test('F9.10 A8 is asked once for a token and never on a cache hit', async ({ server }) => {
    let signed = 0
    const signer: Signer = {
      ...{ alg: local.alg, publicJwk: local.publicJwk },
      sign: async (data) => {
        signed++
        return local.sign(data)
      },
    }
    const authentication = privateKeyJwt(signer)
    const tokens = createTokenManager({ clients: { api: clientOf(server, { issuer: 'https://as', authentication }) } })
    await Promise.all(Array.from({ length: 100 }, () => tokens.getToken('api')))
    for (let call = 0; call < 100; call++) await tokens.getToken('api')
    expect([signed, server.requests.length]).toEqual([1, 1])
    await tokens.close()
  })

  test('F9.10 A8 that hangs frees everybody at its own deadline, and nothing is sent', async ({ server }) => {
    const { signer } = remote()
    const authentication = privateKeyJwt(boundedSigner(signer, { deadlineMs: 20 }))
    const tokens = createTokenManager({ clients: { api: clientOf(server, { issuer: 'https://as', authentication }) } })
    const calls = Array.from({ length: 20 }, () => rejection(tokens.getToken('api')))
    for (const error of await Promise.all(calls)) expect(error.code).toBe('signer_timeout')
    expect(server.requests).toHaveLength(0)
    await tokens.close()
  })

  const strange = [
    {
      name: 'DER instead of R || S',
      signature: new Uint8Array(70),
      says: 'expected a raw signature of 64 bytes, got 70',
    },
    { name: 'text', signature: 'signature', says: 'got no bytes' },
    { name: 'nothing', signature: undefined, says: 'got no bytes' },
  ]
  for (const { name, signature, says } of strange) {
    test(`A8 that answers ${name} is refused before anything is sent`, async ({ server }) => {
      const signer: Signer = { alg: 'ES256', publicJwk: local.publicJwk, sign: async () => signature as Uint8Array }
      const client = clientOf(server, { issuer: 'https://as', authentication: privateKeyJwt(signer) })
      const tokens = createTokenManager({ clients: { api: client } })
      const error = await rejection(tokens.getToken('api'))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'signature_invalid' })
      expect(error.message).toContain(says)
      expect(server.requests).toHaveLength(0)
      await tokens.close()
    })
  }
})
