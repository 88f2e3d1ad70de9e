const MOST_POINTS = 1000;

/** A job's epochs, thinned out evenly to so many that a screen can show them. */
export class History {
  constructor() {
    this.detail = null; // a part of the history that is thinned out less
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

  /** Whether epochs are left out between two of them. */
  isCoarse([first, last]) {
    const { detail } = this;
    const stride = detail && detail.first <= first && detail.last >= last ? detail.stride : this.stride;
    return stride > 1;
  }

  /** Have these epochs for a part of the history; null: as coarse as the rest again. */
  refine(range, epochs = []) {
    this.detail = range && { first: range[0], last: range[1], epochs, stride: epochs.length > 1 ? epochs[1].epoch - epochs[0].epoch : 1 };
  }

  /** Points of one figure of the epochs. */
  of(figure) {
    const { detail } = this, all = this.all();
    const epochs = !detail ? all
      : [...all.filter(({ epoch }) => epoch < detail.first), ...detail.epochs, ...all.filter(({ epoch }) => epoch > detail.last)];
    return epochs.map((epoch) => [epoch.epoch, figure(epoch)]);
  }
}
