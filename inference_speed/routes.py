"""The routes from films to months that are timed against each other.

A route is one function and one line in `ROUTES`: it takes a Keras model and returns
`predict(image, sex) -> months`, where image is uint8 `(N, S, S, 1)` 0-255, sex float32 `(N, 1)`,
1 = male, and months a numpy array `(N,)`. As months come back in numpy, they have been computed
when the clock stops. Libraries are imported inside the function, so that `--help` is quick.
"""


def predict_route(model):
    """`model.predict`, the call that Keras users know."""
    from util.prediction import inputs_of

    def predict(image, sex):
        months = model.predict(inputs_of(model, image, sex), batch_size=len(image), verbose=0)
        return months[:, 0]

    return predict


def compiled_route(model):
    """One compiled call, as predict.py and evaluate.py use it."""
    from util.prediction import compile_predictor

    return compile_predictor(model)


ROUTES = {"predict": predict_route, "compiled": compiled_route}
