import { inspect } from 'node:util'
import { ConfigurationError } from 'evertoken'
import { boundedSigner } from 'evertoken/keys'
import { describe, expect, it } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { remoteSigner } from '../support/remote-signer.ts'
import { createTestClock, settle } from '../support/test-clock.ts'

const input = new Uint8Array([1, 2, 3])
const SECRET = 'AKIA-very-secret-credential'

describe('a signer that is slow', () => {
  it('F9.10 is given up at its deadline, with a typed error that may be retried', async () => {
    const clock = createTestClock()
    const { signer, calls } = remoteSigner()
    const failed = rejection(Promise.resolve(boundedSigner(signer, { clock }).sign(input)))
    expect(calls[0]?.signal?.aborted).toBe(false)
    await clock.advance(4999)
    expect(clock.pending).toBe(1)
    await clock.advance(1)
    const error = await failed
    expect(error).toMatchObject({ name: 'TransportError', code: 'signer_timeout', retryable: true, ambiguous: false })
    expect(calls[0]?.signal?.reason).toBe(error)
    expect(clock.pending).toBe(0)
  })

  it('F9.10 answers in time, and leaves no timer', async () => {
    const clock = createTestClock()
    const { signer, calls } = remoteSigner()
    const signature = boundedSigner(signer, { clock }).sign(input)
    await clock.advance(4999)
    calls[0]?.answer()
    expect(await signature).toHaveLength(64)
    expect(clock.pending).toBe(0)
  })

  it('F9.10 has no deadline when that is asked for', async () => {
    const clock = createTestClock()
    const { signer, calls } = remoteSigner()
    const signature = boundedSigner(signer, { clock, deadlineMs: Number.POSITIVE_INFINITY }).sign(input)
    expect(clock.pending).toBe(0)
    calls[0]?.answer()
    expect(await signature).toHaveLength(64)
  })

  it('F9.10 lets a caller go that aborts, with the caller’s reason, and hears of it', async () => {
    const clock = createTestClock()
    const { signer, calls } = remoteSigner()
    const controller = new AbortController()
    const reason = new Error('no longer wanted')
    const failed = rejection(Promise.resolve(boundedSigner(signer, { clock }).sign(input, controller)))
    controller.abort(reason)
    expect(await failed).toBe(reason)
    expect(calls[0]?.signal?.reason).toBe(reason)
    calls[0]?.fail(new Error('aborted'))
    await settle()
    expect(clock.pending).toBe(0)
  })

  it('is not asked by a caller that has aborted already', () => {
    const { signer, calls } = remoteSigner()
    const reason = new Error('no longer wanted')
    expect(() => boundedSigner(signer).sign(input, { signal: AbortSignal.abort(reason) })).toThrow(reason)
    expect(calls).toHaveLength(0)
  })
})

describe('a signer that fails', () => {
  class ThrottlingException extends Error {
    override readonly name = 'ThrottlingException'
    readonly code = 'E429'
    readonly request = { headers: { authorization: SECRET } }
  }
  const failures: readonly { readonly name: string; readonly sign: () => never }[] = [
    { name: 'rejects', sign: () => Promise.reject(new ThrottlingException(`request with ${SECRET}`)) as never },
    {
      name: 'throws',
      sign: () => {
        throw new ThrottlingException(`request with ${SECRET}`)
      },
    },
  ]
  it.each(failures)(
    'F9.10 $name: a typed error that may be retried, with name and code of the cause alone',
    async ({ sign }) => {
      const signer = boundedSigner({ alg: 'ES256', publicJwk: {}, sign })
      const error = await rejection((async () => signer.sign(input))())
      expect(error).toMatchObject({
        name: 'TransportError',
        code: 'signer_failed',
        retryable: true,
        message: 'signer: expected a signature, got ThrottlingException E429',
        cause: { name: 'ThrottlingException', code: 'E429' },
      })
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET)
    },
  )

  it.each([
    { name: 'nothing', thrown: undefined },
    { name: 'a text', thrown: SECRET },
    { name: 'an error whose name is a sentence', thrown: Object.assign(new Error('x'), { name: `is ${SECRET}!` }) },
  ])('F9.10 what it throws is not repeated: $name', async ({ thrown }) => {
    const signer = boundedSigner({ alg: 'ES256', publicJwk: {}, sign: () => Promise.reject(thrown) })
    const error = await rejection((async () => signer.sign(input))())
    expect(error).toMatchObject({ code: 'signer_failed', message: 'signer: expected a signature, got a failure' })
    expect(inspect(error, { depth: 9 })).not.toContain(SECRET)
  })

  it('passes errors of this package as they are', async () => {
    const own = new ConfigurationError('key: expected one', { code: 'key_invalid' })
    const signer = boundedSigner({ alg: 'ES256', publicJwk: {}, sign: () => Promise.reject(own) })
    expect(await rejection((async () => signer.sign(input))())).toBe(own)
  })
})

describe('a signer with a bound on calls at a time', () => {
  it('F9.10 gets so many and no more; the others come in order as places become free', async () => {
    const { signer, calls } = remoteSigner()
    const bounded = boundedSigner(signer, { maxConcurrent: 2, clock: createTestClock() })
    const done: number[] = []
    const all = [0, 1, 2, 3].map(async (n) => {
      await bounded.sign(input)
      done.push(n)
    })
    expect(calls).toHaveLength(2)
    calls[1]?.answer()
    await settle()
    expect(calls).toHaveLength(3)
    calls[2]?.answer()
    await settle()
    expect(calls).toHaveLength(4)
    for (const call of calls) call.answer()
    await Promise.all(all)
    expect(done).toEqual([1, 2, 0, 3])
  })

  it('F9.10 counts the wait for a turn into the deadline, and a call that is given up frees its place', async () => {
    const clock = createTestClock()
    const { signer, calls } = remoteSigner()
    const bounded = boundedSigner(signer, { maxConcurrent: 1, deadlineMs: 100, clock })
    const first = rejection(Promise.resolve(bounded.sign(input)))
    await clock.advance(60)
    const second = bounded.sign(input)
    await clock.advance(40)
    expect((await first).code).toBe('signer_timeout')
    expect(calls).toHaveLength(2)
    const late = rejection(Promise.resolve(second))
    await clock.advance(60)
    expect((await late).code).toBe('signer_timeout')
    const third = bounded.sign(input)
    expect(calls).toHaveLength(3)
    calls[2]?.answer()
    expect(await third).toHaveLength(64)
    expect(clock.pending).toBe(0)
  })

  it('F9.10 gives a place that becomes free at the very deadline of who waits for it to the next', async () => {
    const clock = createTestClock()
    const { signer, calls } = remoteSigner()
    const bounded = boundedSigner(signer, { maxConcurrent: 1, deadlineMs: 100, clock })
    const failed = [0, 1, 2].map(() => rejection(Promise.resolve(bounded.sign(input))))
    await clock.advance(100)
    expect((await Promise.all(failed)).map(({ code }) => code)).toEqual(new Array(3).fill('signer_timeout'))
    const next = bounded.sign(input)
    calls.at(-1)?.answer()
    expect(await next).toHaveLength(64)
  })

  it('F9.10 drops a caller that aborts while it waits', async () => {
    const clock = createTestClock()
    const { signer, calls } = remoteSigner()
    const bounded = boundedSigner(signer, { maxConcurrent: 1, clock })
    const first = bounded.sign(input)
    const controller = new AbortController()
    const reason = new Error('no longer wanted')
    const waiting = rejection(Promise.resolve(bounded.sign(input, controller)))
    const last = bounded.sign(input)
    controller.abort(reason)
    expect(await waiting).toBe(reason)
    calls[0]?.answer()
    await first
    await settle()
    calls[1]?.answer()
    await last
    expect(calls).toHaveLength(2)
    expect(clock.pending).toBe(0)
  })

  it('F9.10 keeps the place of a call that its caller left, until it ends', async () => {
    const { signer, calls } = remoteSigner()
    const bounded = boundedSigner(signer, { maxConcurrent: 1, clock: createTestClock() })
    const controller = new AbortController()
    const left = rejection(Promise.resolve(bounded.sign(input, controller)))
    controller.abort()
    await left
    const next = bounded.sign(input)
    expect(calls).toHaveLength(1)
    calls[0]?.answer()
    await settle()
    expect(calls).toHaveLength(2)
    calls[1]?.answer()
    expect(await next).toHaveLength(64)
  })

  it('signs at once what can be signed at once, without a timer or a promise', () => {
    const clock = createTestClock()
    const signature = new Uint8Array(64)
    const bounded = boundedSigner({ alg: 'ES256', publicJwk: {}, sign: () => signature }, { maxConcurrent: 1, clock })
    for (let call = 0; call < 100; call++) expect(bounded.sign(input)).toBe(signature)
    expect(clock.pending).toBe(0)
  })

  it.each([
    { name: 'a deadline of nothing', options: { deadlineMs: 0 } },
    { name: 'a deadline that is no number', options: { deadlineMs: Number.NaN } },
    { name: 'a deadline in words', options: { deadlineMs: '5s' as unknown as number } },
    { name: 'nobody at a time', options: { maxConcurrent: 0 } },
    { name: 'one and a half at a time', options: { maxConcurrent: 1.5 } },
  ])('refuses $name', ({ options }) => {
    expect(() => boundedSigner(remoteSigner().signer, options)).toThrow(
      expect.objectContaining({ code: 'option_invalid' }),
    )
  })
})
