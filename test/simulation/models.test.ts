import { describe } from 'vitest'
import { itKeepsTheStoreContract } from '../support/token-store-contract.ts'
import { itKeepsTheLockContract } from '../support/with-lock-contract.ts'
import { Machine } from './machine.ts'
import { ModelLock } from './model-lock.ts'
import { ModelStore } from './model-store.ts'
import { rest, Scheduler } from './scheduler.ts'

const SEED = 1

/** Two processes in a world that goes on by itself until it is stopped. */
function openWorld(): {
  readonly machines: readonly [Machine, Machine]
  readonly latency: () => number
  readonly advance: (ms: number) => Promise<void>
  readonly close: () => void
} {
  const scheduler = new Scheduler(SEED)
  let isOpen = true
  async function goOn(): Promise<void> {
    while (isOpen) if (!(await scheduler.step())) await rest()
  }
  void goOn()
  return {
    machines: [new Machine('p1', scheduler), new Machine('p2', scheduler)],
    latency: () => scheduler.below(3),
    advance: (ms) => new Promise((resolve) => scheduler.after(ms, '', resolve)),
    close() {
      isOpen = false
    },
  }
}

describe('F11.02 the model of a store', () => {
  itKeepsTheStoreContract(() => {
    const { machines, latency, advance, close } = openWorld()
    const store = new ModelStore({ latency }).connect(machines[0])
    return { store, clock: machines[0].clock, advance, close }
  })
})

describe('F11.02 the model of a lock', () => {
  itKeepsTheLockContract(
    () => {
      const { machines, latency, close } = openWorld()
      const lock = new ModelLock({ latency, onLoss: () => {} })
      return { locks: [lock.connect(machines[0]), lock.connect(machines[1])], close }
    },
    { asksWaiters: false },
  )
})
