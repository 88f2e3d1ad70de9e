const MOST_POINTS = 1000;

/** A job's epochs, thinned out evenly to so many that a screen can show them. */
export class History {
  constructor() {
    this.begin([]);
  }

  /** Begin with epochs that may be thinned out already. */
  begin(epochs) {
    this.points = [];
    this.tip = null;
    this.stride = epochs.length > 2 ? epochs[1].epoch - epochs[0].epoch : 1;
    this.offset = epochs[0]?.epoch ?? 1;
    this.add(epochs);
  }

  /** Go on with the epochs after those that are here. */
  add(epochs) {
    const isKept = ({ epoch }) => (epoch - this.offset) % this.stride === 0;
    if (!this.tip && epochs.length) this.offset = epochs[0].epoch;
    for (const epoch of epochs) {
      if (isKept(epoch)) this.points.push(epoch);
      if (this.points.length > MOST_POINTS) {
        this.stride *= 2;
        this.points = this.points.filter(isKept);
      }
      this.tip = epoch;
    }
  }

  /** The epochs, the last one always among them. */
  all() {
    return !this.tip || this.points.at(-1) === this.tip ? this.points : [...this.points, this.tip];
  }

  /** Points of one figure of the epochs. */
  of(figure) {
    return this.all().map((epoch) => [epoch.epoch, figure(epoch)]);
  }
}
