import { localLock } from 'evertoken'
import { describe, expect, it } from 'vitest'
import { itKeepsTheLockContract } from '../support/with-lock-contract.ts'

describe('localLock', () => {
  itKeepsTheLockContract(
    () => {
      const lock = localLock()
      return { locks: [lock, lock] }
    },
    { asksWaiters: false },
  )

  it('serves in the order of arrival', async () => {
    const lock = localLock()
    const order: number[] = []
    await Promise.all(Array.from({ length: 100 }, (_, at) => lock('name', async () => void order.push(at))))
    expect(order).toEqual(Array.from({ length: 100 }, (_, at) => at))
  })

  it('is apart from another lock in the same process', async () => {
    const [one, other] = [localLock(), localLock()]
    expect(await one('name', () => other('name', async () => 'inside'))).toBe('inside')
  })
})
