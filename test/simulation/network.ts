import type { Link, Machine, Sabotage } from './machine.ts'

/** What lies between the processes and what they share. */
export interface Network {
  /** How long one journey takes, in milliseconds. */
  readonly latency: () => number
  readonly sabotage?: Sabotage | undefined
}

/** One question to a shared service. */
export interface Question<T> {
  readonly what: string
  readonly link: Link
  /** What one process writes arrives in the order in which it was sent; reads may take another way. */
  readonly isWrite: boolean
  /** What the service does when the question arrives. */
  readonly apply: () => T
}

/** A question arrives, then its answer; neither has to. */
export function ask<T>(machine: Machine, network: Network, { what, link, isWrite, apply }: Question<T>): Promise<T> {
  const { scheduler } = machine
  return machine.promise((resolve, reject) => {
    if (link === 'failing') {
      machine.after(network.latency(), `${what} fails`, () => reject(new Error(`${what}: connection refused`)))
      return
    }
    // What hangs has been lost, or does arrive and is not answered.
    if (link === 'hanging' && scheduler.random() < 0.5) return
    const ms = isWrite ? machine.inOrder(network.latency()) : network.latency()
    scheduler.after(ms, `${machine.name} ${what}`, () => {
      const answer = apply()
      if (link === 'up') machine.after(network.latency(), `${what} answered`, () => resolve(answer))
    })
  })
}
