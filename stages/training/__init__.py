"""How networks are trained. Knows nothing of MLflow, DVC or params.yaml.

Axes, as they appear in shapes:
    R  replicas: one network each, R = L * S, learning rate by learning rate
    L  learning rates
    S  seeds; one seed is one pair of networks, the same in both arms and at every learning rate
    E  epochs, counted from 0: before training
    B  examples in a batch
    N  rows of a table
    F  features: columns of a table, or units of a layer
    K  classes, or the logits of a network: one where there are two classes
    P  parameters of one network, all in a row
    V  variants of one network: other parameters, same batch
"""
